"""Requests that hold the event loop and cannot be interrupted: what is said, and what comes after.

Under the greenlet and inline runners, and in ASGI apps, code that is in C, or that swallows every
error, stops the loop. Nobody can end it from within the process: it is told, and all others wait.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from bridge.loops.watchdog import log as watchdog_log
from bridge.runners.timeouts import limit as limits
from tests.support.patched import patched
from tests.support.raw import Client, request
from tests.support.serving import Served, served
from tests.support.waiting import eventually

#: Runners whose jobs hold the loop, and ASGI apps, which do so, too.
HOLDERS = ("greenlet", "patched", "inline", "asgi")
WAYS = ("read", "swallow", "lock")


#: So much takes more than 0.3 s of a processor, in C: of a regular expression, and of a hash.
LENGTH = ROUNDS = 1


@pytest.fixture(scope="module", autouse=True)
def _measure() -> None:
    global LENGTH, ROUNDS
    begun = time.thread_time()
    re.match("(a+)+b", "a" * 18)
    begun, taken = time.thread_time(), time.thread_time() - begun
    hashlib.pbkdf2_hmac("sha256", b"", b"", 50_000)
    ROUNDS = round(50_000 * 0.4 / max(time.thread_time() - begun, 0.0001))
    LENGTH = 18
    while taken < 0.3:
        LENGTH, taken = LENGTH + 1, taken * 2


class App:
    """A path for each way to get stuck, until `let_go`."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self._lock = threading.Lock()
        self._over = False
        self.swallowed = 0

    def let_go(self) -> None:
        """Let what is stuck, or will be, go on."""
        self._over = True
        os.write(self._write, b"x" * 64)
        if self._lock.locked():
            self._lock.release()

    def get_stuck(self) -> None:
        """Have it hold again what comes."""
        self._over = False
        self._lock.acquire(blocking=False)
        os.set_blocking(self._read, False)
        try:
            os.read(self._read, 1000)
        except BlockingIOError:
            pass
        os.set_blocking(self._read, True)

    def close(self) -> None:
        self.let_go()
        os.close(self._read)
        os.close(self._write)

    def stand(self, path: str) -> None:
        if path != "/":
            getattr(self, path[1:])()

    def read(self) -> None:
        os.read(self._read, 1)

    def lock(self) -> None:
        self._lock.acquire()
        self._lock.release()

    def swallow(self) -> None:
        while not self._over:
            try:
                while True:
                    if self._over:
                        break
                    sum(range(1000))
            except BaseException:
                self.swallowed += 1
                continue

    def regex(self) -> None:
        re.match("(a+)+b", "a" * LENGTH)

    def hash(self) -> None:
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", ROUNDS)

    def wsgi(self, environ: Any, start_response: Any) -> list[bytes]:
        self.stand(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        self.stand(scope["path"])
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
        )
        await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def app_served(runner: str, **settings: Any) -> Iterator[tuple[App, Served]]:
    with ExitStack() as stack:
        if runner == "patched":
            stack.enter_context(patched())
            runner = "greenlet"
        app = App()
        stack.callback(app.close)
        app.get_stuck()
        settings = {"timeout_request": 0.2, **settings}
        if runner != "asgi":
            settings["runner"] = runner
        server = stack.enter_context(served(app.asgi if runner == "asgi" else app.wsgi, **settings))
        stack.callback(app.let_go)
        yield app, server


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """How often a text is in the log; limits are short."""
    monkeypatch.setattr(limits, "GRACE", 0.1)
    monkeypatch.setattr(watchdog_log, "_LONG", 0.3)
    monkeypatch.setattr("bridge.runners.threads.queue_watch.LONG_WAIT", 60)
    caplog.set_level(logging.WARNING, "bridge.error")
    return lambda text: sum(text in each.getMessage() for each in caplog.records)


def asked(server: Served, path: str) -> Client:
    client = server.connect()
    client.send(request(path))
    return client


def get(server: Served, path: str = "/") -> int:
    with server.connect() as client:
        return client.get(path).status


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("runner", HOLDERS)
def test_one_that_holds_the_loop_is_told(runner: str, way: str, said: Callable[[str], int]) -> None:
    """R2, R3: what, where, that all others wait, and what to do; then the server goes on."""
    if runner == "patched" and way == "lock":
        pytest.skip("it does not hold the loop")
    with app_served(runner) as (app, server):
        assert get(server) == 200
        stuck = asked(server, f"/{way}")
        eventually(lambda: said(f"GET /{way}, at {__file__}:"))
        neighbours = [asked(server, "/") for _ in range(4)]
        eventually(lambda: said("the event loop is still blocked"))
        if runner != "asgi":
            eventually(lambda: said("it holds the event loop"))
            assert said(f"in App.{way}") >= 2
        for each in neighbours:
            each.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                each.sock.recv(1)
            each.sock.settimeout(20)
        app.let_go()
        # An ASGI app that holds the loop is not cancelled: it has answered before that could be.
        assert stuck.response().status == (200 if runner == "asgi" else 504)
        assert [each.response().status for each in neighbours] == [200] * 4
        assert stuck.get().status == 200, "its connection goes on"
        for each in (stuck, *neighbours):
            each.sock.close()
        eventually(lambda: said("the event loop turns again"))
    assert app.swallowed == (way == "swallow" and runner != "asgi")
    assert said("could not end") == 0


def test_a_lock_in_a_patched_greenlet(said: Callable[[str], int]) -> None:
    """R2, G6: what is patched does not hold the loop: neighbours go on, and it is a 504."""
    with app_served("patched") as (app, server):
        with asked(server, "/lock") as stuck:
            assert [get(server) for _ in range(16)] == [200] * 16
            assert stuck.response().status == 504
        app.let_go()
        assert get(server, "/lock") == 200, "nobody has kept the lock"
    assert said("could not be interrupted") == 0


@pytest.mark.parametrize("way", [*WAYS, "hash"])
def test_threads_are_answered_meanwhile(way: str, said: Callable[[str], int]) -> None:
    """R2: the same under the thread runner: 504, and 64 neighbours go on."""
    with app_served("thread", threads=2) as (app, server):
        with asked(server, f"/{way}") as stuck, ThreadPoolExecutor(4) as others:
            assert [*others.map(lambda _: get(server), range(64))] == [200] * 64
            assert stuck.response().status == 504
        app.let_go()
        assert get(server) == 200
        assert get(server, "/lock") == 200, "nobody has kept the lock"


@pytest.mark.parametrize("runner", ["thread", *HOLDERS])
def test_code_that_lets_no_other_thread_run(runner: str, said: Callable[[str], int]) -> None:
    """R2, R3: a regular expression that does not end for long; it is told when it has ended."""
    with app_served(runner) as (_, server):
        for _ in range(20):
            with asked(server, "/regex") as stuck, asked(server, "/") as other:
                assert stuck.response().status in (200, 504)
                assert other.response().status == 200
            # Which thread looks first is chance: the loop's, the watchdog's, or the limit's.
            if runner == "thread" or said("no other thread run") or said("than timeout_request"):
                break
        else:
            pytest.fail("it was not told")
        assert get(server) == 200


@pytest.mark.parametrize("runner", ["thread", *HOLDERS])
def test_nothing_is_left_of_many(
    runner: str, said: Callable[[str], int], caplog: pytest.LogCaptureFixture
) -> None:
    """R2: threads, descriptors and objects are where they were after 60 of them, one by one."""
    caplog.set_level(logging.CRITICAL, "bridge.error")  # else it keeps all that was logged
    with app_served(runner, timeout_request=0.05, threads=4) as (app, server):

        def rounds(count: int) -> None:
            for number in range(count):
                app.get_stuck()
                with asked(server, f"/{WAYS[number % 3]}") as stuck, asked(server, "/") as other:
                    time.sleep(0.06)
                    app.let_go()
                    assert stuck.response().status in (200, 504)
                    assert other.response().status == 200

        def left() -> tuple[int, int, int]:
            eventually(lambda: not server.server.state.connections)
            eventually(lambda: "bridge-timeouts" not in [t.name for t in threading.enumerate()])
            gc.collect()
            return threading.active_count(), len(os.listdir("/dev/fd")), len(gc.get_objects())

        rounds(9)
        threads, descriptors, objects = left()
        rounds(60)
        after = left()
        eventually(lambda: threading.active_count() <= max(threads, 7))
    assert after[1] <= descriptors
    assert after[2] <= objects + 1000
