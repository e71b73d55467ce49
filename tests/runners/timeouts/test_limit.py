"""`timeout_request` on a real server: stuck requests end, and nothing else does."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

import bridge
from bridge import WsgiToAsgi
from bridge.errors import RequestTimeout
from bridge.runners import make_runner
from bridge.runners.timeouts import limit as limits
from bridge.runners.timeouts.limit import TimeLimit
from tests.support.raw import Client, Closed, Response, request
from tests.support.serving import Served, served
from tests.support.waiting import eventually

#: Seconds; and a name for each runner.
SHORT = 0.2
RUNNERS = ("thread", "greenlet", "inline")


@pytest.fixture(autouse=True)
def clients_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have requests of the test never taken for requests of the app to itself (W53)."""
    monkeypatch.setattr("bridge.runners.threads.queue_watch.LONG_WAIT", 60)


class App:
    """A WSGI app with a path for each way to get stuck."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.lock = threading.Lock()
        self.ends: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        view = getattr(self, environ["PATH_INFO"].strip("/") or "ok")
        try:
            return view(environ, start_response)
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise

    def ok(self, environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def loop(self, environ: Any, start_response: Any) -> list[bytes]:
        while True:
            pass

    def locked(self, environ: Any, start_response: Any) -> list[bytes]:
        with self.lock:
            return self.ok(environ, start_response)

    def sleep(self, environ: Any, start_response: Any) -> list[bytes]:
        self.gate.wait(20)
        return self.ok(environ, start_response)

    def swallows(self, environ: Any, start_response: Any) -> list[bytes]:
        while not self.gate.is_set():
            try:
                time.sleep(0.001)
            except BaseException:
                pass
        return self.ok(environ, start_response)

    def chunked(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        yield from self.loop(environ, start_response)

    def sized(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "8")])
        yield b"half"
        yield from self.loop(environ, start_response)

    def stuck_half(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", "8")])
        yield b"half"
        self.gate.wait(20)
        yield b"late"

    def writes(self, environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "8")])(b"half")
        return self.loop(environ, start_response)

    def events(self, environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        ends = time.monotonic() + 5 * SHORT
        while time.monotonic() < ends:
            yield b"event"
            time.sleep(SHORT / 10)

    def upload(self, environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.input"].read()
        return self.ok(environ, start_response)

    def awaits(self, environ: Any, start_response: Any) -> list[bytes]:
        bridge.await_(asyncio.sleep(20))
        return self.ok(environ, start_response)

    def closes(self, environ: Any, start_response: Any) -> Any:
        self.ok(environ, start_response)
        app = self

        class Result:
            def __iter__(self) -> Iterator[bytes]:
                yield b"ok"

            def close(self) -> None:
                app.loop({}, None)

        return Result()


@contextmanager
def app_served(**settings: Any) -> Iterator[tuple[App, Served]]:
    app = App()
    try:
        with served(app, **{"timeout_request": SHORT, **settings}) as server:
            try:
                yield app, server
            finally:
                app.gate.set()
                if app.lock.locked():
                    app.lock.release()
    finally:
        app.gate.set()


def get(server: Served, path: str, after: bytes = b"") -> Response:
    with server.connect() as client:
        client.send(request(path) + after)
        return client.response()


def cut(client: Client) -> bool:
    """Whether the response that comes is broken off after its first half."""
    with pytest.raises((Closed, ConnectionResetError)) as ended:
        client.response()
    return isinstance(ended.value, ConnectionResetError) or b"late" not in ended.value.rest


def stats(server: Served) -> Any:
    return server.call(lambda: server.server.config.app and runner_of(server).stats())


def runner_of(server: Served) -> Any:
    from bridge.server.apps.handlers import runners_of

    return next(runner for _, runner in runners_of(server.server.app))


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_loop_is_answered_while_neighbours_go_on(
    runner: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R2: a view in ``while True`` gets 504, is told with its line, and 64 neighbours go on."""
    with app_served(runner=runner) as (app, server):
        with server.connect() as stuck, ThreadPoolExecutor(8) as others:
            stuck.send(request("/loop"))
            neighbours = list(others.map(lambda _: get(server, "/").status, range(64)))
            assert stuck.response().status == 504
        assert neighbours == [200] * 64
        assert app.ends == ["RequestTimeout"]
    [record] = [each for each in caplog.records if "timeout_request" in each.getMessage()]
    text = record.getMessage()
    assert record.levelname == "WARNING"
    assert text.startswith("GET '/loop' of the app has run for ")
    assert f"{__file__}:" in text
    assert "in App.loop" in text


def test_a_lock_that_is_never_free(caplog: pytest.LogCaptureFixture) -> None:
    """R2: a call in C cannot be interrupted: the loop answers, and another thread is started."""
    with app_served(threads=1) as (app, server):
        app.lock.acquire()
        with server.connect() as stuck:
            stuck.send(request("/locked"))
            assert stuck.response().status == 504
        with ThreadPoolExecutor(8) as others:
            assert list(others.map(lambda _: get(server, "/").status, range(64))) == [200] * 64
        eventually(lambda: stats(server).written_off == 1)
        assert stats(server).timed_out == 1
        app.lock.release()
        eventually(lambda: stats(server).written_off == 0)
        eventually(lambda: app.ends == ["RequestTimeout"])
        assert app.lock.acquire(timeout=5), "`with lock:` gives it back"
        assert get(server, "/").status == 200
    [told] = [each for each in caplog.records if "could not be interrupted" in each.getMessage()]
    assert "in App.locked" in told.getMessage()


@pytest.mark.parametrize("path", ["/sleep", "/swallows"])
def test_what_cannot_be_interrupted_is_answered_once(path: str) -> None:
    """R2: what the app makes of its response after the loop has answered goes nowhere."""
    with app_served(threads=1) as (app, server):
        with server.connect() as client:
            client.send(request(path))
            assert client.response().status == 504
            app.gate.set()
            eventually(lambda: stats(server).written_off == 0)
            client.send(request("/"))
            assert client.response().body == b"ok", "the connection goes on"
        assert get(server, "/").body == b"ok"


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("path", ["/chunked", "/sized", "/writes"])
def test_half_a_response_is_cut(runner: str, path: str) -> None:
    """R2: a response that hangs after its first piece is broken off visibly."""
    with app_served(runner=runner) as (_, server), server.connect() as client:
        client.send(request(path))
        assert cut(client)
        assert get(server, "/").status == 200


def test_half_a_response_of_a_stuck_thread() -> None:
    """R2: the loop cuts the response of an app that cannot be interrupted."""
    with app_served(threads=1) as (app, server), server.connect() as client:
        client.send(request("/stuck_half"))
        assert cut(client)
        app.gate.set()
        eventually(lambda: stats(server).written_off == 0)
        assert get(server, "/").body == b"ok"


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_stream_of_events_lives_on(runner: str) -> None:
    """R2: the time counts from piece to piece: a stream that goes on is not ended."""
    with app_served(runner=runner, timeout_request=2 * SHORT) as (app, server):
        response = get(server, "/events")
        assert response.body.startswith(b"event" * 3)
        assert app.ends == []


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
@pytest.mark.parametrize("path", ["/upload", "/awaits"])
def test_waits_are_ended(runner: str, path: str) -> None:
    """R2: an app that waits for its client's upload, or for an awaitable, is interrupted there."""
    with app_served(runner=runner, threads=1) as (app, server), server.connect() as client:
        client.send(
            b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" % path.encode()
            + b"x" * 70_000
        )
        assert client.response().status == 504
        assert app.ends == ["RequestTimeout"]
        assert get(server, "/").status == 200


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_close_that_hangs(runner: str) -> None:
    """R2: after the response, ``close()`` is interrupted, too; the client has its response."""
    with app_served(runner=runner, threads=1) as (_, server):
        with server.connect() as client:
            client.send(request("/closes"))
            eventually(lambda: stats(server).timed_out == 1)
            assert client.response().body == b"ok"
        assert get(server, "/").status == 200


def test_a_client_that_leaves_meanwhile() -> None:
    """R2: that its client has left changes nothing for a stuck app."""
    with app_served(threads=1) as (app, server):
        for path in ("/loop", "/sleep"):
            with server.connect() as client:
                client.send(request(path))
                eventually(lambda: stats(server).busy == 1)
        eventually(lambda: stats(server).written_off == 1)
        assert get(server, "/").status == 200
        app.gate.set()
        eventually(lambda: stats(server)[:3:2] == (0, 0))
        assert stats(server).timed_out == 2


def test_threads_descriptors_and_memory_are_where_they_were(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2: after many stuck requests of both kinds nothing is left of them."""
    monkeypatch.setattr(limits, "GRACE", 0.1)
    caplog.set_level(logging.CRITICAL, "bridge.error")  # else it keeps all that was logged
    with app_served(threads=8, timeout_request=0.05) as (app, server):

        def round_of(path: str, count: int) -> None:
            app.gate.clear()
            with ThreadPoolExecutor(8) as clients:
                answers = list(clients.map(lambda _: get(server, path).status, range(count)))
            assert answers == [504] * count
            app.gate.set()
            eventually(lambda: stats(server)[:3:2] == (0, 0) and stats(server).written_off == 0)

        def left() -> tuple[int, int]:
            gc.collect()
            return len(os.listdir("/dev/fd")), len(gc.get_objects())

        round_of("/loop", 8)
        round_of("/sleep", 32)
        eventually(lambda: len(server.server.state.connections) == 0)
        descriptors, objects = left()
        round_of("/loop", 64)
        round_of("/sleep", 200)
        eventually(lambda: len(server.server.state.connections) == 0)
        assert left()[0] <= descriptors
        assert left()[1] <= objects + 2000
        names = [
            each.name for each in threading.enumerate() if re.fullmatch(r"bridge-\d+", each.name)
        ]
        assert len(names) <= 8
        assert get(server, "/").status == 200


def test_what_was_ended_is_counted() -> None:
    """R2: the metrics count requests that were ended, and threads that are written off."""
    with app_served(threads=2, metrics_bind="127.0.0.1:0") as (app, server):

        def counted(name: str) -> Any:
            figures = server.server.state.figures
            assert figures is not None
            return server.call(figures.snapshot)[name]["samples"][0][1]

        assert get(server, "/loop").status == 504
        assert counted("bridge_request_timeouts_total") == 1
        assert get(server, "/sleep").status == 504
        eventually(lambda: counted("bridge_threads_written_off") == 1)
        app.gate.set()
        eventually(lambda: counted("bridge_threads_written_off") == 0)
        assert counted("bridge_request_timeouts_total") == 2


def test_each_mount_has_its_own() -> None:
    """R2: one mount ends its requests, its neighbour does not; the log names the mount."""
    stuck, free = App(), App()
    mounts = bridge.Dispatcher(
        {
            "/a": bridge.Mount(stuck, settings={"timeout_request": SHORT}),
            "/b": bridge.Mount(free, settings={"timeout_request": 0}),
        }
    )
    try:
        with served(mounts, timeout_request=30) as server, server.connect() as other:
            other.send(request("/b/sleep"))
            assert get(server, "/a/loop").status == 504
            free.gate.set()
            assert other.response().status == 200
    finally:
        stuck.gate.set()
        free.gate.set()


def test_nothing_is_watched_when_it_is_off() -> None:
    """R2: without `timeout_request` no request is watched."""
    adapter = WsgiToAsgi(App())
    assert adapter.limit is None
    assert adapter.runner.timed_out is None
    with pytest.raises(bridge.ConfigError, match="timeout_request is -1; allowed is"):
        WsgiToAsgi(App(), timeout_request=-1)
    assert isinstance(WsgiToAsgi(App(), timeout_request=1).limit, TimeLimit)


def test_looks_end_with_the_requests() -> None:
    """R2: the timer, and the thread that watches the loop, are there only while requests run."""
    with app_served(runner="greenlet") as (_, server):
        assert get(server, "/").status == 200

        def threads() -> list[str]:
            return [each.name for each in threading.enumerate() if each.name == "bridge-timeouts"]

        eventually(lambda: not threads())
        assert get(server, "/loop").status == 504
        eventually(lambda: not threads())


@pytest.mark.parametrize("runner", RUNNERS)
def test_looks_that_end_just_before_a_request_begins(runner: str) -> None:
    """R2: a request that was taken before the last look, and begins after it, is watched."""
    limit = TimeLimit(make_runner(runner), SHORT)

    async def main() -> None:
        for begin_in in (lambda begin: begin(), lambda begin: in_thread(begin)):
            run = limit.new_run("a request")
            for _ in range(2):  # no request runs, none is queued: it is the last look
                assert limit._timer is not None
                limit._timer.cancel()
                limit._look()
            assert limit._timer is None
            begin_in(run.begin)
            while limit._timer is None:
                await asyncio.sleep(0)
            run.end()
            limit._timer.cancel()
            limit._timer = None

    def in_thread(begin: Any) -> None:
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join(20)

    asyncio.run(main())


def test_a_request_that_begins_within_the_last_look() -> None:
    """R2: a request that saw the timer, and was not seen by the last look, is watched."""
    limit = TimeLimit(make_runner("thread"), SHORT)

    class Running(set[Any]):
        def __bool__(self) -> bool:
            return limit._timer is None  # empty until the look has ended the looks

    async def main() -> None:
        limit.new_run("a request")
        limit.running = Running()
        limit._was_idle = True
        limit._look()
        assert limit._timer is not None
        limit._timer.cancel()

    asyncio.run(main())


@pytest.mark.parametrize("runner", ["greenlet", "inline"])
def test_bursts_of_requests_that_hold_the_loop(runner: str) -> None:
    """R2: however many come at once, and after whatever pause, each is ended."""
    with app_served(runner=runner, timeout_request=0.05) as (_, server):
        for pause in (0.0, 0.005, 0.01, 0.02, 0.03):
            with ThreadPoolExecutor(4) as clients:
                assert [*clients.map(lambda _: get(server, "/loop").status, range(8))] == [504] * 8
            time.sleep(pause)


async def asgi_call(app: Any, path: str) -> list[Any]:
    """What an ASGI app sends for a GET."""
    sent: list[Any] = []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [],
        "client": None,
        "server": ("x", 80),
    }
    gone = asyncio.Event()

    async def receive() -> Any:
        if not sent and not gone.is_set():
            gone.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(3600)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("runner", RUNNERS)
def test_any_host(runner: str) -> None:
    """R2: `WsgiToAsgi` ends requests on every ASGI host, and raises nothing for a 504."""
    app = App()
    adapter = WsgiToAsgi(app, runner=runner, timeout_request=SHORT, threads=1)

    async def main() -> None:
        start, body = await asgi_call(adapter, "/loop")
        assert (start["status"], body["body"]) == (504, b"Gateway Timeout\n")
        with pytest.raises(bridge.AppError, match="must be cut off"):
            await asgi_call(adapter, "/chunked")
        if runner == "thread":
            assert (await asgi_call(adapter, "/sleep"))[0]["status"] == 504
            app.gate.set()
        assert (await asgi_call(adapter, "/"))[0]["status"] == 200
        await adapter.runner.stop(10)

    asyncio.run(main())


def test_a_thread_that_was_just_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    """R2: a thread that runs another job by now is not written off for the last one."""
    monkeypatch.setattr(limits, "GRACE", 0.05)
    with app_served(threads=1) as (app, server):
        runner = runner_of(server)
        with server.connect() as client:
            client.send(request("/sleep"))
            eventually(lambda: stats(server).busy == 1)
            ident = next(iter(runner._pool.workers)).ident
            server.call(lambda: runner.write_off(ident, lambda: False))
            server.call(lambda: runner.write_off(0, lambda: True))
            assert stats(server).written_off == 0
            app.gate.set()
            client.response()


def test_the_error_is_public() -> None:
    """R2: apps can name it; it is no subclass of what says that the client has left."""
    assert bridge.RequestTimeout is RequestTimeout
    assert RequestTimeout().status == 504
    assert not issubclass(RequestTimeout, bridge.ClientDisconnected)
    assert isinstance(RequestTimeout(), Exception)
