"""What is mounted in our own apps."""

from __future__ import annotations

from typing import Any

from bridge import AsgiToWsgi, Dispatcher, Mount, WsgiToAsgi
from bridge.cutover.app import Cutover
from bridge.cutover.route import Route
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
    assert (first.condition, first.keeps_prefix) == (f"{__name__}.is_beta says so", False)
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


def test_cutovers() -> None:
    """M50: routes of the new app that a switch gives to it, then the old app."""
    routes = [
        Route("kept", "/a", mode="old"),
        Route("users", ["/users", "/users/{id}"], methods="GET", mode="new"),
        Route("stock", "/stock/{rest:path}", methods="PUT", host="a.org", mode="canary", share=5),
        Route("all", "/{page}", mode="new"),
    ]
    table = read_table(Cutover(flask_app, new, routes))
    *switched, old_app = mounts(table)
    assert [(str(each.path), each.switch) for each in switched] == [
        ("/users", "route users (new)"),
        ("/users/{id}", "route users (new)"),
        ("/stock/{rest:path}", "route stock (canary)"),
        ("/{page}", "route all (new)"),
    ]
    assert switched[0].methods == ("GET", "HEAD")
    assert (switched[0].kinds, switched[0].condition) == ((), None)
    assert (switched[2].kinds, switched[2].host) == (("http",), "a.org")
    assert switched[2].condition == "its client is one of the 5 %"
    assert switched[3].condition == "route kept, which comes before, does not take it"
    assert (old_app.switch, old_app.table.framework) == ("", "Flask")
