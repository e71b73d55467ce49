"""What exceptions from another thread leave whole: locks, pools, clean-ups, modules, the log."""

from __future__ import annotations

import importlib
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bridge.runners.timeouts import limit as limits
from bridge.server.apps.handlers import runners_of
from tests.support.patched import patched
from tests.support.raw import request
from tests.support.serving import served
from tests.support.waiting import eventually

#: Seconds that each piece of work takes: longer than the limit.
LIMIT, LONG = 0.1, 0.3

SLOW_MODULE = """
import sys, time
sys.slow_imports[0] += 1
for _ in range(30):
    time.sleep(0.01)
sys.slow_imports[1] += 1
"""


def work(seconds: float = LONG) -> None:
    """Take so long, in Python."""
    ends = time.monotonic() + seconds
    while True:
        if time.monotonic() > ends:
            return
        sum(range(100))


class App:
    """Each path has something that would be harmed."""

    def __init__(self) -> None:
        self.lock, self.rlock = threading.Lock(), threading.RLock()
        self.pool: queue.Queue[object] = queue.Queue()
        self.pool.put("connection")
        self.begun = self.ended = 0
        self.log = logging.Logger("harm")
        self.log.addHandler(handler := logging.Handler())
        handler.emit = lambda record: work(0.02)  # type: ignore[method-assign]
        self.handler = handler

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        getattr(self, environ["PATH_INFO"].strip("/") or "ok")()
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    def ok(self) -> None: ...

    def manual(self) -> None:
        self.lock.acquire()
        try:
            work()
        finally:
            self.lock.release()

    def nested(self) -> None:
        with self.rlock, self.rlock:
            work()

    def takes(self) -> None:
        for _ in range(20_000):
            with self.lock:
                sum(range(10))

    def pooled(self) -> None:
        connection = self.pool.get(timeout=20)
        try:
            work()
        finally:
            self.pool.put(connection)

    def cleans_up(self) -> None:
        self.begun += 1
        try:
            work(LIMIT / 2)
        finally:
            work()
            self.ended += 1

    def imports(self) -> None:
        importlib.import_module("slow_to_import")
        work()

    def logs(self) -> None:
        while True:
            self.log.warning("x")


def is_free(lock: Any) -> bool:
    """Whether another thread can take it."""
    taken: list[bool] = []

    def take() -> None:
        taken.append(lock.acquire(timeout=1))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(20)
    return taken == [True]


WHOLE: dict[str, Callable[[App], object]] = {
    "manual": lambda app: is_free(app.lock),
    "nested": lambda app: is_free(app.rlock),
    "takes": lambda app: is_free(app.lock),
    "pooled": lambda app: app.pool.qsize() == 1,
    "cleans_up": lambda app: app.begun == app.ended > 0,
    "imports": lambda app: sys.slow_imports == [1, 1],  # type: ignore[attr-defined]
    "logs": lambda app: is_free(app.handler.lock),
}


@pytest.mark.parametrize("with_patch", [False, True], ids=["plain", "patched"])
@pytest.mark.parametrize("path", WHOLE)
def test_nothing_is_harmed(
    path: str, with_patch: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2: requests that are over their time at once: what they share is whole after them."""
    monkeypatch.setattr("bridge.runners.threads.queue_watch.LONG_WAIT", 60)
    monkeypatch.setattr(limits, "GRACE", 0.5)
    monkeypatch.setattr(sys, "slow_imports", [0, 0], raising=False)
    (tmp_path / "slow_to_import.py").write_text(SLOW_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("slow_to_import", None)
    with ExitStack() as stack:
        if with_patch:
            stack.enter_context(patched())
        app = App()
        server = stack.enter_context(served(app, threads=4, timeout_request=LIMIT))

        def ask(_: int) -> int:
            with server.connect() as client:
                client.send(request(f"/{path}"))
                return client.response().status

        with ThreadPoolExecutor(4) as clients:
            answers = [*clients.map(ask, range(8))]
        assert {*answers} <= {200, 504}
        if path not in ("takes", "cleans_up"):  # these may end before they are given up
            assert 504 in answers
        [runner] = [each for _, each in runners_of(server.server.app)]
        eventually(lambda: runner.stats().busy == runner.stats().written_off == 0)
        assert WHOLE[path](app)
        with server.connect() as client:
            client.send(request("/ok"))
            assert client.response().status == 200
    sys.modules.pop("slow_to_import", None)
