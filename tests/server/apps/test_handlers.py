"""From an app to its handler: wrappers are taken apart, with the answers that they give (D6)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from bridge.asgi1.app import from_asgi1
from bridge.dispatcher import Dispatcher, Mount
from bridge.fallback import Fallback
from bridge.server.apps.asgi.consumer import ConsumerHandler
from bridge.server.apps.asgi.exchange import AsgiHandler
from bridge.server.apps.handlers import (
    DispatchHandler,
    make_handler,
    runner_apps,
    runners_of,
    stop_runners,
)
from bridge.server.apps.wsgi.exchange import WsgiHandler
from bridge.server.apps.wsgi.in_thread import ThreadExchange
from bridge.server.apps.wsgi.on_loop import LoopExchange
from bridge.types import Receive, Scope, Send
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.server.apps.connections import connection
from tests.server.apps.connections import request as read_request
from tests.support.in_loop import InLoop, in_loop
from tests.support.in_process import http
from tests.support.raw import parse_responses, request


def on_asgi(name: str) -> Any:
    """An ASGI app that tells its name and its place."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = json.dumps([name, scope["root_path"], scope["path"]]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    return app


def on_wsgi(name: str) -> Any:
    """A WSGI app that tells the same: its path is the root path, and what is below it."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        root = environ["SCRIPT_NAME"]
        return [json.dumps([name, root, root + environ["PATH_INFO"]]).encode()]

    return app


def answers(server: InLoop, *targets: str, host: str = "x") -> list[tuple[int, Any]]:
    """Status and what the app told, of each."""
    data = b"".join(f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() for target in targets)
    return [
        (each.status, json.loads(each.body) if each.status == 200 else None)
        for each in parse_responses(server.talk([data]))
    ]


# ------------------------------------------------------------- which handler


def test_kinds_of_handlers() -> None:
    """D6: a WSGI app is called straight, a dispatcher's table is looked at; the rest is ASGI."""
    wsgi = make_handler(WsgiToAsgi(on_wsgi("a"), runner="inline", max_body_size=7), {}, "/below")
    assert isinstance(wsgi, WsgiHandler)
    assert (wsgi.prefix, wsgi.max_body_size) == ("/below", 7)
    assert isinstance(make_handler(Dispatcher({"/": on_asgi("a")}), {}), DispatchHandler)
    state = {"made": "at startup"}
    asgi = make_handler(on_asgi("a"), state, "/below")
    assert isinstance(asgi, AsgiHandler)
    assert (asgi.prefix, asgi.lifespan_state) == ("/below", state)
    consumer = make_handler(from_asgi1(lambda message: None), state, "/below")
    assert isinstance(consumer, ConsumerHandler)
    assert (consumer.prefix, consumer.lifespan_state) == ("/below", state)


@pytest.mark.parametrize(
    ("runner", "expected"),
    [("thread", ThreadExchange), ("greenlet", LoopExchange), ("inline", LoopExchange)],
)
def test_exchanges_that_fit_the_runner(runner: str, expected: type) -> None:
    """W52: a thread's response comes from a thread, any other's from the loop's."""
    handler = make_handler(WsgiToAsgi(on_wsgi("a"), runner=runner), {})
    assert type(handler.open(connection(), read_request())) is expected


# ------------------------------------------------------------- mounted apps


def mounted() -> Dispatcher:
    inner = Dispatcher(
        {"/deep": on_wsgi("deep"), "/kept": Mount(on_asgi("kept"), keep_prefix=True)},
        runner="inline",
    )
    return Dispatcher(
        {
            "/wsgi": on_wsgi("wsgi"),
            "/asgi": on_asgi("asgi"),
            "/in": inner,
            "/all": Mount(on_asgi("all"), keep_prefix=True),
        },
        runner="inline",
    )


PLACES = {
    "/wsgi/a": ["wsgi", "/wsgi", "/wsgi/a"],
    "/wsgi": ["wsgi", "/wsgi", "/wsgi"],
    "/asgi/a": ["asgi", "/asgi", "/asgi/a"],
    "/asgi/" + "a" * 200: ["asgi", "/asgi", "/asgi/" + "a" * 200],
    "/all/a": ["all", "", "/all/a"],
    "/in/deep/a": ["deep", "/in/deep", "/in/deep/a"],
    "/in/kept/a": ["kept", "/in", "/in/kept/a"],
    "/in/nowhere": None,
    "/wsgi2": None,
    "/": None,
}


def expected_at(target: str, root: str = "") -> tuple[int, Any]:
    told = PLACES[target]
    return (404, None) if told is None else (200, [told[0], root + told[1], root + told[2]])


@pytest.fixture(scope="module")
def server() -> Iterator[InLoop]:
    with in_loop(mounted()) as server:
        yield server


@pytest.mark.parametrize("target", PLACES)
def test_mounted_apps(server: InLoop, target: str) -> None:
    """D1, D6: each app is told its place, the first time and every other, and 404 elsewhere."""
    assert answers(server, target, target, target) == [expected_at(target)] * 3


@pytest.mark.parametrize("target", PLACES)
def test_the_dispatcher_itself_says_the_same(target: str) -> None:
    """D6: the short way leads to the same answer as the app on any server."""
    status, told = expected_at(target)
    response = http(mounted(), target)
    assert response.status == status
    if told is not None:
        assert json.loads(response.body) == told


def test_below_a_root_path() -> None:
    """D1, D6: mounts are below the server's own root path, whether a request names it or not."""
    with in_loop(mounted(), root_path="/root") as server:
        for target in PLACES:
            for path in (target, f"/root{target}"):
                assert answers(server, path) == [expected_at(target, "/root")]


def test_more_paths_than_are_kept(server: InLoop) -> None:
    """D6: paths that a client invents do not change which app answers."""
    for start in range(0, 1200, 100):
        paths = [f"/asgi/{number}" for number in range(start, start + 100)]
        assert answers(server, *paths) == [(200, ["asgi", "/asgi", path]) for path in paths]
    assert answers(server, "/asgi/0", "/wsgi/a")[1] == expected_at("/wsgi/a")


def test_hosts() -> None:
    """D1, D6: a host's own mounts come first, then those of every host; a path alone is not all."""
    app = Dispatcher({"a.test/": on_asgi("a"), "*.b.test/": on_asgi("b"), "/x": on_asgi("x")})
    with in_loop(app) as server:
        for host, told in (("a.test", "a"), ("c.b.test:80", "b"), ("other", "x"), ("a.test", "a")):
            (answer,) = answers(server, "/x/1", host=host)
            assert answer[1][0] == told
        assert answers(server, "/", host="other") == [(404, None)]


def test_a_request_without_a_host() -> None:
    """D1, D6: HTTP/1.0 needs no Host; the mounts of every host are there for it."""
    with in_loop(Dispatcher({"a.test/": on_asgi("a"), "/x": on_asgi("x")})) as server:
        (response,) = parse_responses(server.talk([b"GET /x HTTP/1.0\r\n\r\n"]))
    assert json.loads(response.body) == ["x", "/x", "/x"]


seen: ContextVar[str] = ContextVar("seen", default="nothing")


def test_predicates() -> None:
    """D6, S13: a predicate sees the request, and nobody else sees what it sets."""

    def chooses(asked: Any) -> bool:
        assert seen.get() == "nothing"
        seen.set(asked.path)
        return bool(asked.headers.get("X-New") == "yes")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": seen.get().encode()})

    mounts = {"/x": [Mount(app, when=chooses), on_asgi("old")]}
    with in_loop(Dispatcher(mounts)) as server:
        data = request("/x/1", "X-New: yes") + request("/x/1") + request("/x/1", "X-New: yes")
        bodies = [each.body for each in parse_responses(server.talk([data]))]
    assert bodies == [b"nothing", b'["old", "/x", "/x/1"]', b"nothing"]


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_the_same_head_for_two_apps(kind: str) -> None:
    """D6, S13: a head that comes again can be another app's; it gets a scope of its own kind."""
    calls = iter([False, True, True, False, False, True])
    new = on_asgi("new") if kind == "asgi" else WsgiToAsgi(on_wsgi("new"), runner="inline")
    mounts = {"/x": [Mount(new, when=lambda _: next(calls)), on_asgi("old")]}
    with in_loop(Dispatcher(mounts)) as server:
        responses = parse_responses(server.talk([request("/x/1")] * 6))
    told = [json.loads(each.body) for each in responses]
    assert [each[0] for each in told] == ["old", "new", "new", "old", "old", "new"]
    assert [each[1:] for each in told] == [["/x", "/x/1"]] * 6


def test_state_of_a_mounted_app() -> None:
    """D3: a mounted app finds the server's state and its own, and no other's."""
    app = Dispatcher({"/a": on_asgi("a"), "/b": on_asgi("b")})
    app.routes[0].state["own"] = 1
    handler = make_handler(app, {"shared": 2})
    assert isinstance(handler, DispatchHandler)
    states = []
    for path in ("/a", "/b"):
        child = handler.handler_for(connection(), read_request(f"GET {path} HTTP/1.1"))
        assert isinstance(child, AsgiHandler)
        states.append(child.lifespan_state)
    assert states == [{"shared": 2, "own": 1}, {"shared": 2}]


# ------------------------------------------------------------- the runners of all WSGI apps


def test_wsgi_apps_that_can_be_seen() -> None:
    """W52: WSGI apps are found in dispatchers and fallbacks, with names that say where."""
    one, two = WsgiToAsgi(on_wsgi("1")), WsgiToAsgi(on_wsgi("2"))
    app = Dispatcher({"/a": one, "/b": on_asgi("b"), "/c": Fallback([on_asgi("c"), two, one])})
    assert [*runner_apps(app)] == [
        ("app mounted at /a", one),
        ("a fallback of app mounted at /c", two),
        ("a fallback of app mounted at /c", one),
    ]
    assert [*runner_apps(one)] == [("the app", one)]
    assert [*runner_apps(on_asgi("b"), "it")] == []
    assert [*runners_of(app)] == [
        ("app mounted at /a", one.runner),
        ("a fallback of app mounted at /c", two.runner),
    ]


def test_stop_runners() -> None:
    """P2: those that still run are waited for, all at once, and none is left behind."""

    class Job:
        queued_at = 0.0
        streams = False
        peer = None

        def __init__(self) -> None:
            self.started, self.goes_on = threading.Event(), threading.Event()
            self.ended = False

        def __call__(self) -> bool:
            self.started.set()
            self.ended = self.goes_on.wait(30)
            return True

        def on_long_wait(self) -> None: ...

        def refuse(self, error: Exception) -> None:
            raise error

    apps = [WsgiToAsgi(on_wsgi("1")), WsgiToAsgi(on_wsgi("2"))]
    jobs = [Job(), Job()]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for app, job in zip(apps, jobs, strict=True):
            app.runner.start(loop)
            app.runner.submit(job)
            await asyncio.to_thread(job.started.wait, 30)
        stopping = asyncio.ensure_future(
            stop_runners(Dispatcher({"/a": apps[0], "/b": apps[1]}), None)
        )
        await asyncio.sleep(0)
        assert not stopping.done()
        for job in reversed(jobs):
            job.goes_on.set()
        await stopping

    asyncio.run(main())
    assert [job.ended for job in jobs] == [True, True]
