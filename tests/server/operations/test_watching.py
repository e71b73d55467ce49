"""The watchdog of a real server: under each runner, and for ASGI apps."""

from __future__ import annotations

import gc
import hashlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.serving import Served, served
from tests.support.waiting import eventually


def scrypt_300_ms(path: str) -> None:
    if path == "/slow":
        hashlib.scrypt(b"password", salt=b"salt", n=2**14, r=8, p=cost, maxmem=2**26)  # the line


#: So many rounds take more than 300 ms of a processor.
cost = 1


@pytest.fixture(scope="module", autouse=True)
def _measure() -> None:
    global cost
    before = time.thread_time()
    hashlib.scrypt(b"password", salt=b"salt", n=2**14, r=8, p=2, maxmem=2**26)
    cost = round(0.35 / max(time.thread_time() - before, 0.001) * 2) + 1


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    scrypt_300_ms(environ["PATH_INFO"])
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    scrypt_300_ms(scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings so far; what the tests before have left takes no time of the collector's."""
    caplog.set_level(logging.WARNING, "bridge.error")
    gc.collect()
    gc.freeze()
    return lambda: [each.getMessage() for each in caplog.records]


def get(server: Served, path: str) -> None:
    assert httpx.get(f"http://127.0.0.1:{server.port}{path}", timeout=60).text == "ok"


KINDS = [
    (asgi, "thread", "asyncio.to_thread"),
    (wsgi, "greenlet", "bridge.in_thread"),
    (wsgi, "inline", "--runner thread"),
]


@pytest.mark.parametrize(("app", "runner", "advice"), KINDS)
def test_the_line_that_blocks_the_loop_is_named(
    app: Any, runner: str, advice: str, said: Callable[[], list[str]]
) -> None:
    """R3, G9: `hashlib.scrypt` for 300 ms, for a request; and then the whole time."""
    with served(app, runner=runner) as server:
        get(server, "/")
        get(server, "/slow")
        eventually(lambda: any("turns again" in each for each in said()))
    # On a machine that is busy it may take long enough to be told once more in between.
    first, last = (each for each in said() if " is still blocked, " not in each)
    assert re.match(r"the event loop has been blocked for \d+\.\d\d s .*by GET /slow, at ", first)
    assert f"{__file__}:" in first
    assert " in scrypt_300_ms. " in first
    assert advice in first
    assert first.splitlines()[-1].endswith("# the line")
    assert first.splitlines()[1].endswith(" in asgi" if app is asgi else " in wsgi")
    assert re.match(
        r"the event loop turns again: it was blocked for 0\.\d\d s .*by GET /slow, ", last
    )


def test_the_thread_runner_blocks_nothing(said: Callable[[], list[str]]) -> None:
    """R3: its threads are not the loop's."""
    with served(wsgi, runner="thread") as server:
        for _ in range(3):
            get(server, "/slow")
    assert said() == []


def test_0_turns_it_off(said: Callable[[], list[str]]) -> None:
    """R3: `--max-blocking-time 0`; no thread is started."""
    with served(asgi, max_blocking_time=0) as server:
        get(server, "/slow")
        assert server.server.watchdog is None
    assert said() == []


def test_blocks_are_counted() -> None:
    """R3, O2: a histogram, if figures are kept; and a line for `ctl threads`."""
    with served(asgi, metrics_bind="127.0.0.1:1") as server:
        get(server, "/slow")
        watchdog = server.server.watchdog
        assert watchdog is not None
        eventually(lambda: str(watchdog.history))
        figures = server.call(server.server.figures)
        ((_, blocked),) = figures["bridge_event_loop_blocked_seconds"]["samples"]
    assert sum(blocked["counts"]) == 1
    assert 0.05 < blocked["sum"] < 60
    assert "blocked 1 time, " in str(watchdog.history)
    assert "by GET /slow, at " in str(watchdog.history)


@pytest.mark.parametrize("runner", ["asgi", "thread", "greenlet", "inline"])
def test_usual_requests_are_not_told(runner: str, said: Callable[[], list[str]]) -> None:
    """R3: a thousand of them, on several connections at once."""
    app, settings = (asgi, {}) if runner == "asgi" else (wsgi, {"runner": runner})
    with served(app, **settings) as server:

        def ask() -> None:
            with httpx.Client() as client:
                for _ in range(250):
                    assert client.get(f"http://127.0.0.1:{server.port}/").text == "ok"

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert said() == []


async def blocking_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "lifespan":
        await asgi(scope, receive, send)
        return
    for step in ("startup", "shutdown"):
        await receive()
        time.sleep(0.3)
        await send({"type": f"lifespan.{step}.complete"})


def test_the_start_and_the_end_of_the_app_may_block(said: Callable[[], list[str]]) -> None:
    """R3: nobody waits for a server that starts, and one that ends has no clients any more."""
    with served(blocking_lifespan, lifespan="on") as server:
        get(server, "/")
    assert said() == []


@pytest.fixture
def descriptors() -> Iterator[None]:
    """None is left open."""
    if not os.path.exists("/proc/self/fd"):
        yield
        return
    before = len(os.listdir("/proc/self/fd"))
    yield
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


def test_nothing_is_left_behind(descriptors: None) -> None:
    """R3: neither a thread nor a descriptor, after several servers."""
    before = threading.active_count()
    for _ in range(3):
        with served(asgi) as server:
            get(server, "/")
    assert threading.active_count() == before
