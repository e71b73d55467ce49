"""The content of `http.request` straight from the request, and as the scope gives it."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.asgi1.http import request_content
from bridge.server.apps.asgi.consumer_content import Contents
from bridge.server.apps.scope import http_scope
from tests.server.apps.connections import connection, request

FIELDS = ("Host: example.com", "X-A: 1", "x_forged: 2", "X-A: 3", "Cookie: a_b")


@pytest.mark.parametrize("prefix", ["", "/mounted"])
@pytest.mark.parametrize("where", [{}, {"root_path": "/root"}, {"server": ("/run/s", None)}])
@pytest.mark.parametrize(
    "line", ["GET /a%20b?x=1 HTTP/1.1", "POST / HTTP/1.0", "OPTIONS * HTTP/1.1"]
)
def test_it_is_what_the_scope_gives(line: str, where: dict[str, Any], prefix: str) -> None:
    """L4: every key, with and without the way round the scope."""
    here, asked = connection(**where), request(line, *FIELDS)
    expected = request_content(http_scope(here, asked, {}, prefix), b"body")
    assert expected["headers"] == [
        (b"host", b"example.com"), (b"x-a", b"1"), (b"x-a", b"3"), (b"cookie", b"a_b"),
    ]  # fmt: skip
    contents = Contents(prefix)
    for _ in range(2):
        made = contents.make(here, asked, b"body")
        assert made == expected
        assert list(made) == list(expected)
        asked.repeated = True


def test_a_client_without_an_address() -> None:
    """L4: on a Unix socket."""
    here = connection()
    here.identity.client = None
    assert Contents("").make(here, request(), b"")["client"] is None


def test_what_a_consumer_changes_is_its_own() -> None:
    """L4: the next request with the same head finds nothing of it."""
    here, asked = connection(), request()
    asked.repeated = True
    contents = Contents("")
    first = contents.make(here, asked, b"")
    expected = {**first, "headers": [*first["headers"]]}
    for _ in range(2):
        changed = contents.make(here, asked, b"")
        changed["headers"].append((b"x", b"y"))
        changed["path"] = "/changed"
        changed["client"].clear()
        changed["server"].clear()
    expected |= {"client": ["192.0.2.7", 51234], "server": ["192.0.2.1", 8000]}
    assert contents.make(here, asked, b"") == expected


def test_handlers_do_not_take_the_templates_of_others() -> None:
    """L4: two apps at different paths are asked with one head."""
    here, asked = connection(), request()
    asked.repeated = True
    one, other = Contents("/one"), Contents("/other")
    for _ in range(2):
        assert one.make(here, asked, b"")["root_path"] == "/one"
        assert other.make(here, asked, b"")["root_path"] == "/other"
