"""What a served app's requests are counted as (O2)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bridge
from bridge import Dispatcher, WsgiToAsgi
from bridge.runners import Runner
from bridge.server.metrics.snapshot import Snapshot
from bridge.server.metrics.text import render
from tests.support.in_loop import InLoop, in_loop
from tests.support.raw import request
from tests.support.serving import Served, served
from tests.support.waiting import eventually

#: Where nothing listens: only that figures are wanted is asked here.
COUNTED: dict[str, Any] = {"metrics_bind": "127.0.0.1:1"}


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the status in the query; `cut`: break off, `wait`: until the client is gone."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    wanted = scope["query_string"].decode()
    if wanted == "wait":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    status = int(wanted) if wanted.isdigit() else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    if wanted == "cut":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        raise RuntimeError
    await send({"type": "http.response.body", "body": b"whole"})


def wsgi(environ: Any, start_response: Any) -> Any:
    """The same for WSGI."""
    wanted = environ["QUERY_STRING"]
    start_response(f"{wanted if wanted.isdigit() else 200} X", [])
    return pieces() if wanted == "cut" else [b"whole"]


def pieces() -> Any:
    yield b"begun"
    raise RuntimeError


class Reading:
    """A snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot: Snapshot = json.loads(json.dumps(snapshot))
        render(self.snapshot)

    def __call__(self, name: str, **labels: str) -> Any:
        (value,) = (
            value for seen, value in self.snapshot[name]["samples"] if {**seen, **labels} == seen
        )
        return value

    def requests(self, mount: str) -> tuple[int, list[int], int]:
        """All requests, those by class, and those without a response; three sums that agree."""
        total = self("bridge_requests_total", mount=mount)
        aborted = self("bridge_aborted_requests_total", mount=mount)
        classes = [
            self("bridge_responses_total", mount=mount, **{"class": f"{number}xx"})
            for number in range(1, 6)
        ]
        durations = self("bridge_request_duration_seconds", mount=mount)
        assert sum(durations["counts"]) == sum(classes) + aborted == total
        assert len(durations["counts"]) == len(durations["bounds"]) + 1
        return total, classes, aborted


def read(server: Served) -> Reading:
    return Reading(server.call(server.server.figures))


@pytest.mark.parametrize("kind", ["asgi", "thread", "greenlet", "inline"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_requests_by_class(kind: str) -> None:
    """O2: each counts once, by its status; those that are cut as such, and refused ones apart."""
    app: Any = asgi if kind == "asgi" else WsgiToAsgi(wsgi, runner=kind)
    with served(app, **COUNTED) as server:
        with server.connect() as client:
            for status in (200, 204, 302, 404, 500, 503, 200):
                client.send(request(f"/?{status}"))
                assert client.response().status == status
        for _ in range(2):
            with server.connect() as client:
                client.send(request("/?cut"))
                client.rest()
        with server.connect() as client:
            client.send(b"nonsense\r\n\r\n")
            client.rest()
        eventually(lambda: read(server).requests("/")[0] == 9)
        reading = read(server)
        assert reading.requests("/") == (9, [0, 3, 1, 1, 2], 2)
        assert reading("bridge_refusals_total", reason="400 Bad Request") == 1
        assert reading("bridge_connections_total") == 4
        assert reading("bridge_info", version=bridge.__version__) == 1
        waits = sum(reading("bridge_queue_duration_seconds")["counts"]) if kind == "thread" else 9
        assert waits == 9


def test_clients_that_leave() -> None:
    """O2: a request whose client leaves is over once, however it is waited for."""
    with served(asgi, **COUNTED) as server:
        with server.connect() as client:
            client.send(request("/?wait"))
            eventually(lambda: server.call(lambda: len(server.server.state.tasks)) == 1)
        with server.connect() as client:
            client.send(request("/", "Content-Length: 9", method="POST") + b"half")
        eventually(lambda: read(server).requests("/")[0] == 2)
        assert read(server).requests("/") == (2, [0, 1, 0, 0, 0], 1)


def test_a_body_that_stays_half() -> None:
    """O2: so is one that no WSGI app ever saw."""
    for runner in ("thread", "inline"):
        with served(WsgiToAsgi(wsgi, runner=runner), **COUNTED) as server:
            with server.connect() as client:
                client.send(request("/", "Content-Length: 9", method="POST") + b"half")
                eventually(lambda: server.call(lambda: len(server.server.state.connections)) == 1)
            eventually(lambda: read(server).requests("/")[0] == 1)
            assert read(server).requests("/") == (1, [0] * 5, 1)


def test_threads_and_their_queue() -> None:
    """O2: what runs, what waits and for how long; who leaves the queue is aborted."""
    go = threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        assert go.wait(20)
        start_response("200 OK", [])
        return [b""]

    async def main(server: InLoop, runner: Runner) -> None:
        figures = server.count()

        async def until(name: str, holds: Callable[[Any], bool]) -> None:
            async with asyncio.timeout(20):
                while not holds(Reading(figures.snapshot())(name, mount="/a")):
                    await asyncio.sleep(0.001)

        runner.start(server.loop)
        talks = [await server.open() for _ in range(3)]
        await talks[0].send(request("/a"))
        await until("bridge_threads_busy", lambda busy: busy == 1)
        for talk in talks[1:]:
            await talk.send(request("/a"))
        await until("bridge_queue_length", lambda queued: queued == 2)
        await until("bridge_queue_oldest_seconds", lambda oldest: oldest > 0.01)
        talks[2].transport.abort()
        await until("bridge_aborted_requests_total", lambda aborted: aborted == 1)
        go.set()
        await until("bridge_requests_total", lambda total: total == 3)
        await until("bridge_threads_idle", lambda idle: idle == 1)
        reading = Reading(figures.snapshot())
        assert reading.requests("/a") == (3, [0, 2, 0, 0, 0], 1)
        assert reading("bridge_queue_length", mount="/a") == 0
        waits = reading("bridge_queue_duration_seconds", mount="/a")
        assert sum(waits["counts"]) == 2
        assert waits["sum"] > 0.01
        await runner.stop()
        for talk in talks:
            talk.sock.close()

    wrapped = WsgiToAsgi(app, threads=1)
    with in_loop(Dispatcher({"/a": wrapped})) as server:
        server.run(main(server, wrapped.runner))


def test_streams() -> None:
    """O2, R1: threads that stream beside the pool are told apart from those that are busy."""
    go = threading.Event()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        assert go.wait(20)

    with served(WsgiToAsgi(app, threads=1, stream_after=0), **COUNTED) as server:
        clients = [server.connect() for _ in range(2)]
        for client in clients:
            client.send(request("/"))
        eventually(lambda: read(server)("bridge_threads_streaming") == 2)
        assert read(server)("bridge_threads_busy") == 0
        go.set()
        eventually(lambda: read(server)("bridge_threads_streaming") == 0)
        for client in clients:
            client.sock.close()


def test_mounts_and_websockets() -> None:
    """O2: by the place of the app; a handshake is a request, and its answer 101."""
    app = Dispatcher({"/a": asgi, "/b": WsgiToAsgi(wsgi, runner="inline")})
    with served(app, **COUNTED) as server:
        with server.connect() as client:
            for path in ("/a", "/b", "/b/x", "/c"):
                client.send(request(path))
                client.response()
        sockets = [server.open("/a/ws") for _ in range(2)]
        eventually(lambda: read(server)("bridge_websockets") == 2)
        assert read(server)("bridge_connections") >= 2
        sockets[0].sock.close()
        eventually(lambda: read(server)("bridge_websockets") == 1)
        refused = server.connect()
        assert refused.open_handshake("/c").status == 403
        refused.sock.close()
        reading = read(server)
        assert reading.requests("/a") == (3, [2, 1, 0, 0, 0], 0)
        assert reading.requests("/b") == (2, [0, 2, 0, 0, 0], 0)
        assert reading.requests("none") == (2, [0, 0, 0, 2, 0], 0)
        assert reading("bridge_websockets_total") == 2
        sockets[1].sock.close()


def test_threads_at_once() -> None:
    """O2: none is lost or counted twice while many threads answer at the same time."""
    each, clients = 100, 8
    with served(WsgiToAsgi(wsgi, runner="thread"), **COUNTED) as server:

        def ask() -> None:
            with server.connect() as client:
                for _ in range(each):
                    client.send(request("/"))
                    assert client.response().status == 200

        running = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        eventually(lambda: read(server).requests("/")[0] == each * clients)
        reading = read(server)
        assert sum(reading("bridge_queue_duration_seconds", mount="/")["counts"]) == each * clients
        sent = request("/")
        assert reading("bridge_received_bytes_total") == len(sent) * each * clients


def test_the_loop() -> None:
    """O2: how late it is, once a second; the start of the app is no lag."""
    with served(asgi, **COUNTED) as server:
        eventually(lambda: sum(read(server)("bridge_event_loop_lag_seconds")["counts"]) >= 2)
        lag = read(server)("bridge_event_loop_lag_seconds")
        assert lag["sum"] >= 0
        assert server.call(lambda: server.server.state.lag) >= 0


def test_nothing_is_counted_unless_that_is_wanted() -> None:
    """O2: without the setting there are no figures."""
    with served(asgi) as server:
        with server.connect() as client:
            client.send(request("/"))
            client.response()
        assert server.server.state.recording is None
        assert server.server.figures() == {}


def test_cut_at_the_end() -> None:
    """O2: what the end of the server cuts is aborted, too."""
    with in_loop(asgi) as server:
        figures = server.count()

        async def cut() -> None:
            talk = await server.open()
            await talk.send(request("/?wait"))
            (task,) = server.state.tasks
            server.state.enter_stop(3)
            task.cancel()
            while server.state.tasks:
                await asyncio.sleep(0)
            talk.sock.close()

        server.run(cut())
        families = figures.snapshot()
        assert families["bridge_aborted_requests_total"]["samples"] == [[{"mount": "/"}, 1]]
