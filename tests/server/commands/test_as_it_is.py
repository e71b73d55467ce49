"""Options of other servers for what is always so: taken, or refused with what is so (O5)."""

from __future__ import annotations

import os
from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.server.commands.as_it_is import take


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loop", "auto"),
        ("loop", "uvloop"),
        ("asgi_loop", "uvloop"),
        ("http", "httptools"),
        ("http_parser", "auto"),
        ("ws", "wsproto"),
        ("ws", None),
        ("reset_contextvars", True),
    ],
)
def test_what_is_so(name: str, value: object) -> None:
    """O5: nothing is left of it, and the settings stay."""
    options: dict[str, Any] = {name: value, "port": "1"}
    take(options)
    assert options == {"port": "1"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("loop", "asyncio", "--loop is 'asyncio'; allowed is one of auto, uvloop: the loop is uvl"),
        ("asgi_loop", "x", "--asgi-loop is 'x'; allowed is one of auto, uvloop"),
        ("http", "h11", "--http is 'h11'; allowed is one of auto, httptools: httptools parses"),
        ("http_parser", "python", "--http-parser is 'python'; allowed is one of auto, fast"),
        ("ws", "none", "--ws is 'none'; allowed is one of auto, websockets, websockets-sansio, w"),
    ],
)
def test_what_is_not_so(name: str, value: str, said: str) -> None:
    """O5: the error says what is."""
    with pytest.raises(ConfigError) as caught:
        take({name: value})
    assert str(caught.value).startswith(said)


def test_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """O5: the environment says it to the app, too."""
    monkeypatch.setenv("NO_COLOR", "")
    take({"no_use_colors": False})
    assert os.environ["NO_COLOR"] == ""
    take({"no_use_colors": True})
    assert os.environ["NO_COLOR"] == "1"
