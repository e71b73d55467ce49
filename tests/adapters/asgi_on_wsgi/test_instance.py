"""An adapter in one process: its lifespan, its tasks, its end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading
import weakref
from typing import Any

import pytest

from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.settings import make_settings
from bridge.asgi_to_wsgi import AsgiToWsgi
from bridge.errors import (
    LifespanFailed,
)
from bridge.loops import thread as event_loop
from tests.adapters.asgi_on_wsgi.direct import (
    LIMIT,
    START,
    StopEarly,
    WithLifespan,
    body,
    call,
    hello,
    serve,
)
from tests.support.waiting import eventually


class TestLifespan:
    def test_around_the_requests(self) -> None:
        """A31: startup before the first request, once; shutdown at close; state passed on."""
        app = WithLifespan()
        adapter = AsgiToWsgi(app)
        assert app.life == []
        for _ in range(2):
            assert call(adapter).body == b"{'db': 'open', 'mine': True}"
        assert adapter.close()
        assert app.life == ["startup", "request", "request", "shutdown"]

    def test_off(self) -> None:
        """A31: with lifespan="off" the app never sees a lifespan scope."""
        app = WithLifespan()
        adapter = AsgiToWsgi(app, lifespan="off")
        assert call(adapter).body == b"{'mine': True}"
        assert adapter.close()
        assert app.life == ["request"]

    def test_an_app_that_does_not_know_it(self) -> None:
        """A31: lifespan="auto" serves an app that raises on its lifespan scope; "on" does not."""
        adapter = AsgiToWsgi(hello)
        assert call(adapter).body == b"hello"
        assert adapter.close()
        strict = AsgiToWsgi(hello, lifespan="on")
        assert isinstance(call(strict).error, LifespanFailed)
        assert strict.close()

    def test_failed_startup(self, caplog: pytest.LogCaptureFixture) -> None:
        """A31: a failed startup is a clear error on every request, and tried once."""
        app = WithLifespan(fails="startup")
        adapter = AsgiToWsgi(app)
        for _ in range(2):
            error = call(adapter).error
            assert isinstance(error, LifespanFailed)
            assert "no database" in str(error)
        assert app.life == ["startup"]
        assert "no database" in caplog.text
        assert adapter.close()

    def test_failed_shutdown(self, caplog: pytest.LogCaptureFixture) -> None:
        """A31: a failed shutdown is logged, and ends all the same."""
        adapter = AsgiToWsgi(WithLifespan(fails="shutdown"), eager=True)
        assert adapter.close()
        assert "no database" in caplog.text

    def test_blocked_startup(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A31: a startup that blocks the loop is an error that says so, not a hang."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.instance.LOOP_GRACE", 0.01)
        go = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            go.wait(LIMIT)

        adapter = AsgiToWsgi(app, startup_timeout=0.05)
        error = call(adapter).error
        assert isinstance(error, LifespanFailed)
        assert "blocks the event loop" in str(error)
        go.set()
        assert adapter.close()


class TestTasks:
    def test_no_task_stays(self) -> None:
        """A26: when the requests are over, so are their tasks."""
        tasks: list[weakref.ref[asyncio.Task[Any]]] = []

        async def app(*given: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(weakref.ref(task))
            await hello(*given)

        adapter = AsgiToWsgi(app, lifespan="off")
        for _ in range(20):
            call(adapter)
        assert len(tasks) == 20
        eventually(lambda: gc.collect() >= 0 and not any(task() for task in tasks))
        assert adapter.close()


class TestBackground:
    def test_is_cancelled_when_the_shutdown_takes_too_long(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A27: shutdown waits for it, but not longer than shutdown_timeout."""
        cancelled = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send(START)
            await send(body(b"x"))
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        assert serve(app, shutdown_timeout=0.05).body == b"x"
        assert cancelled.is_set()
        assert "1 tasks were still running 0.05 s into the shutdown" in caplog.text

    def test_swallowing_its_cancellation(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A26: an app that swallows its cancellation is cancelled again, until it ends."""
        monkeypatch.setattr("bridge.adapters.asgi_on_wsgi.instance.FIRST_PAUSE", 0.01)
        swallowed = 0
        ended = threading.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            nonlocal swallowed
            await send(START)
            await send(body(b"x", True))
            while swallowed < 4:
                try:
                    await asyncio.sleep(LIMIT)
                except asyncio.CancelledError:
                    swallowed += 1
            ended.set()

        def leave(chunk: bytes) -> None:
            raise StopEarly

        adapter = AsgiToWsgi(app, lifespan="off", disconnect_grace=0)
        call(adapter, on_chunk=leave)
        assert ended.wait(LIMIT)
        assert adapter.close()

    def test_cancelled_later(self) -> None:
        """A26: a task that has ended by then is left alone."""
        instance = made(hello)
        cancelled = threading.Event()

        async def end() -> None:
            pass

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        def spawn() -> None:
            for work in (end(), wait()):
                task = instance.spawn(work, contextvars.copy_context())
                instance.cancel_later(task, 0.01)

        instance.thread.submit(spawn)
        assert cancelled.wait(LIMIT)
        assert instance.close(LIMIT)


def made(app: Any, **settings: Any) -> AppInstance:
    return AppInstance(app, make_settings(**settings))


class TestEnd:
    def test_after_it_nothing_is_served(self) -> None:
        """A31: what comes too late is an error that says so."""
        instance = made(hello)
        other = event_loop.lease()  # so that the loop outlives the instance
        instance.wait_until_ready()
        assert instance.close(LIMIT)
        with pytest.raises(LifespanFailed, match="has been shut down"):
            instance.wait_until_ready()
        event_loop.release(other)
        assert other.join(LIMIT)

    def test_before_the_beginning(self, caplog: pytest.LogCaptureFixture) -> None:
        """A31: an instance that is closed before its first request never starts its app."""
        app = WithLifespan()
        instance = made(app)
        other = event_loop.lease()
        assert instance.close(LIMIT)
        with pytest.raises(LifespanFailed, match="has been shut down"):
            instance.wait_until_ready()
        assert app.life == []
        assert not caplog.records
        event_loop.release(other)
        assert other.join(LIMIT)

    def test_once(self) -> None:
        """A31: of an adapter that is dropped while it closes, say, the app shuts down once."""
        app = WithLifespan()
        instance = made(app)
        other = event_loop.lease()
        instance.wait_until_ready()
        instance.close_soon()
        assert instance.close(LIMIT)
        assert app.life == ["startup", "shutdown"]
        event_loop.release(other)
        assert other.join(LIMIT)

    def test_released_unused(self) -> None:
        """A30: of several that were made at once those that lost the race leave no loop."""
        instance = made(hello)
        instance.release()
        assert instance.thread.join(LIMIT)

    def test_with_the_process(self) -> None:
        """A31: the end of the process closes what still runs; it may be closed after that."""
        app = WithLifespan()
        instance = made(app)
        instance.wait_until_ready()
        instance.thread.exit()
        assert app.life == ["startup", "shutdown"]
        assert instance.close(LIMIT)
        assert app.life == ["startup", "shutdown"]

    def test_open_websockets_are_closed(self) -> None:
        """A40: with 1012, "service restart", before anything else ends."""
        closed: list[tuple[int, str]] = []

        class WebSocket:
            def close(self, code: int, reason: str) -> None:
                closed.append((code, reason))

        instance = made(hello)
        instance.open.add(WebSocket())
        assert instance.close(LIMIT)
        assert closed == [(1012, "")]

    def test_the_parents_is_left_alone(self) -> None:
        """A30: a forked child neither closes nor waits for what it has inherited."""
        app = WithLifespan()
        instance = made(app)
        instance.wait_until_ready()
        pid, instance.pid = instance.pid, -1  # as a child sees it
        assert instance.close(LIMIT)
        instance.close_soon()
        assert app.life == ["startup"]
        instance.pid = pid
        assert instance.close(LIMIT)
        assert app.life == ["startup", "shutdown"]
        instance.thread.join(LIMIT)
        instance.close_soon()  # the loop has ended


GEVENT = """
import gevent.event
from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.settings import make_settings
from bridge.loops.waiters import GeventWaiter

instance = AppInstance(None, make_settings(lifespan="off"))
waiter = gevent.spawn(instance.waiter).get()
assert type(waiter) is GeventWaiter, waiter
instance.return_waiter(waiter)
assert gevent.spawn(instance.waiter).get() is not waiter
assert instance.close(20)
"""


def test_a_greenlet_waits_as_a_greenlet() -> None:
    """A33: if gevent is loaded each caller gets what fits it, and nothing is used again."""
    done = subprocess.run(
        [sys.executable, "-c", GEVENT], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
