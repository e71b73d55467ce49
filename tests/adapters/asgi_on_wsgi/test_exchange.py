"""What the host gets of a response, and what it does if there is none."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bridge.adapters.asgi_on_wsgi.exchange import HttpExchange
from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.settings import make_settings
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.errors import (
    ClientDisconnected,
)
from bridge.loops.thread import LoopThread
from bridge.loops.waiters import ThreadWaiter
from tests.adapters.asgi_on_wsgi.direct import (
    END,
    LIMIT,
    START,
    FileWrapper,
    body,
    call,
    environ,
    hello,
    in_time,
    sending,
    serve,
    start,
)


class TestStreams:
    def test_chunks_leave_when_they_are_produced(self) -> None:
        """A20: the host has a chunk before the app makes the next one."""
        taken = [asyncio.Event() for _ in range(3)]
        loops: list[asyncio.AbstractEventLoop] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            loops.append(asyncio.get_running_loop())
            await send(START)
            for event in taken:
                await send(body(b"x", True))
                await event.wait()
            await send(END)

        waiting = iter(taken)

        def on_chunk(chunk: bytes) -> None:
            if chunk:
                loops[0].call_soon_threadsafe(next(waiting).set)

        assert serve(app, on_chunk=on_chunk).body == b"xxx"

    def test_head_leaves_before_the_body_is_there(self) -> None:
        """A20: an app that starts and then takes its time does not keep the head to itself."""
        seen = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await asyncio.sleep(0.1)  # so that the host's thread waits in longer steps already
            await send(START)
            assert await asyncio.to_thread(seen.wait, LIMIT)
            await send(body(b"late"))

        adapter = AsgiToWsgi(app, lifespan="off")
        got: list[bytes] = []

        def host() -> None:
            for chunk in adapter(environ(), lambda *head: seen.set() or got.append):
                got.append(chunk)

        in_time(host)
        assert got == [b"", b"late"]
        assert adapter.close()


class TestWakeUps:
    @pytest.fixture
    def wakes(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        counted: list[int] = []
        wake = ThreadWaiter.wake
        monkeypatch.setattr(ThreadWaiter, "wake", lambda self: (counted.append(1), wake(self))[1])
        return counted

    def test_at_most_one_for_a_simple_response(self, wakes: list[int]) -> None:
        """A34: start and body together wake the host's thread once, if it sleeps already."""
        adapter = AsgiToWsgi(sending(START, body(b"x")), lifespan="off")
        call(adapter)
        wakes.clear()
        for _ in range(10):
            assert call(adapter).body == b"x"
        assert len(wakes) <= 10
        adapter.close()

    def test_none_where_the_response_is_there(
        self, wakes: list[int], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A34: if the loop was quicker than the host's thread, nobody sleeps or is woken."""
        adapter = AsgiToWsgi(sending(START, body(b"x")), lifespan="off")
        call(adapter)
        submit = LoopThread.submit

        def submit_and_see(self: LoopThread, job: Any) -> None:
            done = threading.Event()
            submit(self, lambda: (job(), self.loop.call_soon(done.set)))
            assert done.wait(LIMIT)

        monkeypatch.setattr(LoopThread, "submit", submit_and_see)
        wakes.clear()
        assert call(adapter).body == b"x"
        assert not wakes
        monkeypatch.undo()
        adapter.close()

    def test_at_most_one_for_a_chunk(self, wakes: list[int]) -> None:
        """A34: a streamed chunk wakes the host's thread at most once."""
        adapter = AsgiToWsgi(sending(START, *[body(b"x" * 40000, True)] * 20, END), lifespan="off")
        call(adapter)
        wakes.clear()
        assert len(call(adapter).body) == 20 * 40000
        assert len(wakes) <= 21
        adapter.close()


class TestErrors:
    def test_before_the_start(self) -> None:
        """A23: an exception before the start is the host's: it answers 500 and logs it."""
        error = ValueError("mine")
        answer = serve(sending(error))
        assert answer.error is error
        assert not answer.starts

    def test_after_the_start(self, caplog: pytest.LogCaptureFixture) -> None:
        """A23: with nothing sent yet, the response becomes a 500 through exc_info."""
        answer = serve(sending(start(200, (b"x-mine", b"1")), ValueError("mine")))
        assert (answer.code, answer.with_exc_info) == (500, True)
        assert answer.header("x-mine") is None
        assert answer.body == b"Internal Server Error\n"
        assert "mine" in caplog.text
        assert b"mine" not in answer.body

    @pytest.mark.parametrize("left", [False, True])
    def test_after_the_head_was_told(self, left: bool, caplog: pytest.LogCaptureFixture) -> None:
        """A23: start_response itself decides whether a 500 is still possible."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await asyncio.sleep(0.1)
            raise ValueError("mine")

        adapter = AsgiToWsgi(app, lifespan="off")
        answer = call(adapter, headers_leave_early=left)
        assert adapter.close()
        if left:
            assert (answer.code, answer.whole) == (200, False)
            assert isinstance(answer.error, ValueError)
        else:
            assert (answer.code, answer.starts, answer.with_exc_info) == (500, 2, True)
            assert answer.body == b"Internal Server Error\n"

    def test_in_the_body(self) -> None:
        """A23: with bytes sent, the exception goes to the host, which cuts the response off."""
        answer = serve(sending(START, body(b"x", True), ValueError("mine")))
        assert (answer.body, answer.whole) == (b"x", False)
        assert isinstance(answer.error, ValueError)


class TestUwsgi:
    """uWSGI answers nothing when an app raises, nor when exc_info is handed over."""

    MADE: ClassVar = {"uwsgi.version": b"2.0"}

    @pytest.mark.parametrize("messages", [[ValueError("mine")], [START, ValueError("mine")], []])
    def test_errors_are_answered(
        self, messages: list[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A22 A23: so the adapter answers and logs itself, without exc_info."""
        answer = serve(sending(*messages), environ(**self.MADE))
        assert (answer.code, answer.with_exc_info) == (500, False)
        assert "the app failed" in caplog.text

    def test_errors_in_the_body_are_raised(self) -> None:
        """A23: once bytes have left, the exception is the host's as everywhere."""
        answer = serve(sending(START, body(b"x", True), ValueError()), environ(**self.MADE))
        assert isinstance(answer.error, ValueError)


class TestTimeouts:
    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.exchange.TICK", 0.02)

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_never_answering(self, method: str, caplog: pytest.LogCaptureFixture) -> None:
        """A22: an app that never answers is a 504 after response_timeout, and is cancelled."""
        cancelled = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        answer = serve(app, environ(method), response_timeout=0.1)
        assert answer.code == 504
        assert cancelled.wait(LIMIT)
        assert "no response within 0.1 s" in caplog.text

    def test_stalling(self) -> None:
        """A22: an app that stops in mid-response is cut off after stream_timeout, and cancelled."""
        cancelled = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"x", True))
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        answer = serve(app, stream_timeout=0.1)
        assert (answer.body, answer.whole) == (b"x", False)
        assert "stream_timeout" in str(answer.error)
        assert cancelled.wait(LIMIT)

    def test_blocking_the_loop(self) -> None:
        """A22: an app that blocks the event loop does not hold the host's thread for ever."""
        go = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            go.wait(LIMIT)

        adapter = AsgiToWsgi(app, lifespan="off", response_timeout=0.1)
        assert call(adapter).code == 504
        go.set()
        assert adapter.close()

    def test_empty_pieces_are_no_progress(self) -> None:
        """A22: an app that sends empty pieces for ever neither takes the loop nor the thread."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            while True:
                await send(body(b"", True))

        answer = serve(app, stream_timeout=0.1)
        assert not answer.whole


class TestGoneClients:
    def test_seen_while_the_app_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A12: if the host can tell, the app hears that the client is gone before it sends."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.exchange.TICK", 0.02)
        gone = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            gone.set()
            assert await receive() == {"type": "http.disconnect"}

        answer = serve(app, environ(**{"waitress.client_disconnected": gone.is_set}))
        assert answer.code == 499

    def test_in_mid_response(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A12 A26: a stream whose client is gone ends as broken, never as whole."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.exchange.TICK", 0.02)
        gone = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(START)
            await send(body(b"x", True))
            gone.set()
            assert await receive() == {"type": "http.disconnect"}

        answer = serve(app, environ(**{"waitress.client_disconnected": gone.is_set}))
        assert isinstance(answer.error, BrokenPipeError | ClientDisconnected)
        assert not answer.whole


class TestEarlyClose:
    def test_a_host_that_cannot_start_the_response(self) -> None:
        """A26: if start_response raises, the app is told, and the error is the host's."""
        heard = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            await send(START)
            await send(body(b"x", True))
            assert await receive() == {"type": "http.disconnect"}
            heard.set()

        def start_response(*head: Any) -> Any:
            raise BrokenPipeError

        adapter = AsgiToWsgi(app, lifespan="off")
        with pytest.raises(BrokenPipeError):
            adapter(environ(), start_response)
        assert heard.wait(LIMIT)
        assert adapter.close()


class TestExtensions:
    def test_pathsend(self, tmp_path: Path) -> None:
        """A24: a file goes through the host's wsgi.file_wrapper."""
        file = tmp_path / "file"
        file.write_bytes(b"x" * 200_000)
        message = {"type": "http.response.pathsend", "path": str(file)}
        wrapped: list[Any] = []

        def wrapper(opened: Any, size: int) -> Any:
            wrapped.append(opened)
            return FileWrapper(opened, size)

        answer = serve(sending(START, message), environ(wsgi_file_wrapper=wrapper), pathsend=True)
        assert len(answer.body) == 200_000
        assert wrapped[0].closed

    def test_pathsend_after_the_head_has_left(self, tmp_path: Path) -> None:
        """A24: if the host has the head already, the file comes in pieces."""
        file = tmp_path / "file"
        file.write_bytes(b"x" * 200_000)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await asyncio.sleep(0.1)
            await send({"type": "http.response.pathsend", "path": str(file)})

        answer = serve(app, environ(wsgi_file_wrapper=FileWrapper), pathsend=True)
        assert len(answer.body) == 200_000
        assert answer.whole

    def test_early_hints(self) -> None:
        """A24: early hints go through the host, before the response."""
        hints: list[Any] = []
        message = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
        answer = serve(
            sending(message, message, START, body(b"x")), environ(wsgi_early_hints=hints.append)
        )
        assert answer.body == b"x"
        assert hints == [[("Link", "</a.css>; rel=preload")]] * 2


class TestMeanwhile:
    """What the host's thread does for the app while it waits for a response."""

    def test_it_reads_the_body(self) -> None:
        """A10: when the app asks for it, also in mid-response."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            first = await receive()
            await send(START)
            await send(body(first["body"], True))
            await send(body((await receive())["body"]))

        answer = serve(app, environ("POST", body=b"x" * 65536 + b"end"))
        assert answer.body == b"x" * 65536 + b"end"

    def test_it_gives_early_hints(self) -> None:
        """A24: a hint leaves while the app still works on its response."""
        given = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.early_hint", "links": [b"</a>"]})
            await asyncio.to_thread(given.wait, LIMIT)
            await send(START)
            await send(body(b"x"))

        answer = serve(app, environ(wsgi_early_hints=lambda links: given.set()))
        assert answer.body == b"x"
        assert given.is_set()


def test_a_host_that_closes_after_the_end_of_the_loop() -> None:
    """A26: the app has ended with its loop, and there is nobody to tell."""
    instance = AppInstance(hello, make_settings(lifespan="off"))
    start_response: Any = None
    exchange = HttpExchange(instance, environ(), start_response)
    instance.release()
    assert instance.thread.join(LIMIT)
    exchange.close()
