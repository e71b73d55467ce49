"""All apps that a target names are checked (M51)."""

from __future__ import annotations

from typing import Any

import bridge
from bridge.check.run import subjects
from bridge.fallback import Fallback
from tests.support.apps.awkward import asgi, pep3333
from tests.support.checking import checked_app, ids


def test_what_adapters_wrap_is_taken_out() -> None:
    """M51: an app behind an adapter of ours is checked itself."""
    (wsgi,) = subjects(bridge.WsgiToAsgi(pep3333.good), "shop:app")
    assert (wsgi.app, wsgi.kind, wsgi.name) == (pep3333.good, "wsgi", "shop:app (in WsgiToAsgi)")
    both = bridge.WsgiToAsgi(pep3333.good)
    both.interface = "Django both ways"  # as an app of `bridge.django` says
    (views,) = subjects(both, "shop:app")
    assert views.name == "shop:app (Django both ways: its synchronous views)"
    (inner,) = subjects(bridge.AsgiToWsgi(asgi.good), "shop:app")
    assert (inner.app, inner.kind) == (asgi.good, "asgi3")


def test_a_consumer_is_checked_without_a_websocket() -> None:
    """M51: ASGI 1 lets one do without an answer, also in `from_asgi1`."""

    def consumer(message: Any) -> None:
        message["reply_channel"].send({"status": 200, "content": b"hello"})

    (found,) = subjects(bridge.from_asgi1(consumer), "shop:app")
    assert (found.app, found.kind) == (consumer, "asgi1")
    assert "websocket-hangs" not in ids(checked_app(consumer, seconds=1.0))


def test_each_mount_is_checked_at_its_place() -> None:
    """M51: with its prefix; a dispatcher in a dispatcher, and a fallback, too."""
    inner = bridge.Dispatcher({"/deep": pep3333.good})
    mounts = {"/old": pep3333.good, "/new": inner, "/": Fallback([asgi.good, pep3333.good])}
    found = list(subjects(bridge.Dispatcher(mounts), "mounts"))
    assert {(each.root_path, each.kind) for each in found} == {
        ("/old", "wsgi"),
        ("/new/deep", "wsgi"),
        ("", "asgi3"),
        ("", "wsgi"),
    }
    assert "mounts at /new at /deep" in {each.name for each in found}


def test_both_sides_of_a_cutover_are_checked() -> None:
    """M51: each as the app that it is."""
    found = list(subjects(bridge.Cutover(old=pep3333.good, new=asgi.good), "ramp:app"))
    assert {each.name: each.app for each in found} == {
        "the old app of ramp:app": pep3333.good,
        "the new app of ramp:app": asgi.good,
    }


def test_mounted_apps_see_their_place() -> None:
    """M51: and what is found is told for each; nothing is wrong with these."""
    report = checked_app(bridge.Dispatcher({"/old": pep3333.good, "/new": asgi.good}))
    assert [each.count for each in report.apps] == [10, 10]
    assert ids(report) == {"sockets-on-wsgi"}


def test_an_older_asgi_app() -> None:
    """M51: is driven as what it becomes on a server."""

    class Old:
        def __init__(self, scope: object) -> None:
            self.scope = scope

        async def __call__(self, receive: object, send: object) -> None:
            await asgi.plain(self.scope, receive, send)

    report = checked_app(Old)
    assert report.apps[0].kind == "asgi2"
    assert ids(report) == {"no-lifespan", "websocket-raises"}
