"""What is mounted in our own apps."""

from __future__ import annotations

from typing import Any

from bridge import AsgiToWsgi, Dispatcher, Mount, WsgiToAsgi
from bridge.fallback import Fallback
from bridge.route_tables import AppTable, Submount, read_table
from examples.flask_on_bridge import app as flask_app


def old(environ: Any, start_response: Any) -> Any: ...


async def new(scope: Any, receive: Any, send: Any) -> None: ...


def is_beta(request: Any) -> bool:
    return True


def mounts(table: AppTable) -> list[Submount]:
    """The mounts of a table."""
    return [entry for entry in table.entries if isinstance(entry, Submount)]


def test_mounts_in_the_order_in_which_they_are_asked() -> None:
    """M50: names before wildcards before all hosts, then the longest prefix."""
    keys = ["/", "/api", "/api/v2", "*.org/", "*.example.org/", "a.example.org/", "a.b.org/x"]
    found = mounts(read_table(Dispatcher(dict.fromkeys(keys, old))))
    assert [f"{each.host}{each.path}" for each in found] == [
        *("a.b.org/x", "a.example.org/", "*.example.org/", "*.org/"),
        *("/api/v2", "/api", "/"),
    ]


def test_predicates_and_prefixes_that_are_kept() -> None:
    """M50: the condition has the name of its function."""
    app = Dispatcher({"/": [Mount(new, when=is_beta), Mount(old, keep_prefix=True)]})
    first, second = mounts(read_table(app))
    assert (first.condition, first.keeps_prefix) == (f"{__name__}.is_beta", False)
    assert (second.condition, second.keeps_prefix) == (None, True)


def test_adapters_are_seen_through() -> None:
    """M50: both of them, one in the other, and what `strip_prefix` puts around an app."""
    assert read_table(WsgiToAsgi(flask_app)).framework == "Flask"
    assert read_table(AsgiToWsgi(WsgiToAsgi(flask_app))).framework == "Flask"
    inner = Dispatcher({"/a": Mount(flask_app, strip_prefix=True)})
    (outer,) = mounts(read_table(Dispatcher({"/x": inner})))
    assert outer.table.framework == "bridge"
    assert mounts(outer.table)[0].table.framework == "Flask"


def test_fallbacks() -> None:
    """M50: their apps in turn."""
    table = read_table(Fallback([new, flask_app]))
    assert table.tries_each
    assert [each.table.framework for each in mounts(table)] == ["", "Flask"]
    (last,) = mounts(read_table(Dispatcher(fallback=[new, flask_app])))
    assert last.table.tries_each
