"""Apps with threads of their own."""

from __future__ import annotations

import pytest

from bridge import Dispatcher, Mount, WsgiToAsgi
from bridge.cutover.shadow.copying.own_threads import held_threads, with_own_threads
from bridge.fallback import Fallback
from tests.support.apps.hello import wsgi
from tests.support.in_process import http
from tests.support.shadows import answering


def test_a_wsgi_app_gets_another_pool() -> None:
    """M10: as it runs now, but for its threads; what clients wait for is not touched."""
    app = WsgiToAsgi(wsgi, queue_timeout=5)
    app.adopt({**(app._how or {}), "threads": 7})
    other, (runner,) = with_own_threads(app, 3)
    assert isinstance(other, WsgiToAsgi)
    assert runner is other.runner is not app.runner
    assert other._how is not None
    assert (other._how["threads"], other._how["queue_timeout"]) == (3, 5)
    assert app._how is not None
    assert app._how["threads"] == 7
    assert http(other, "/").body == http(app, "/").body
    assert held_threads([runner]) == 0


@pytest.mark.parametrize("runner", ["greenlet", "inline"])
def test_a_wsgi_app_on_the_loop_gets_threads(runner: str) -> None:
    """M10: else a copy that hangs would keep all clients waiting."""
    other, (own,) = with_own_threads(WsgiToAsgi(wsgi, runner=runner), 3)
    assert own.threaded
    assert http(other, "/").status == 200


def test_an_asgi_app_stays() -> None:
    """M10: it has no threads."""
    app = answering()
    assert with_own_threads(app, 3) == (app, [])
    assert held_threads([]) == 0


def test_what_is_mounted_is_seen() -> None:
    """M10: in a dispatcher, and in a chain."""
    mounts = {"/w": wsgi, "/s": Mount(answering(b"a"), strip_prefix=True)}
    app = Dispatcher({**mounts, "/f": Fallback([wsgi, answering(b"b")])})
    other, runners = with_own_threads(app, 3)
    assert len(runners) == 2
    assert {id(each) for each in runners}.isdisjoint(
        id(route.asgi.runner) for route in app.routes if isinstance(route.asgi, WsgiToAsgi)
    )
    for path in ("/w", "/s/x", "/f", "/none"):
        assert http(other, path).status == http(app, path).status
        assert http(other, path).body == http(app, path).body
