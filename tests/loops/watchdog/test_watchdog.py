"""The watchdog on real loops: what blocks them is found, and nothing else."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bridge.loops.factory import new_event_loop
from bridge.loops.watchdog import watchdog as module
from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.watchdog import Watchdog
from tests.support.hosts import ROOT

Loops = Callable[[], asyncio.AbstractEventLoop]

both_loops = pytest.mark.parametrize("make_loop", [new_event_loop, asyncio.SelectorEventLoop])


class Seen:
    """What a watchdog has told."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.ended: list[Block] = []
        self.found = threading.Event()
        self.over = threading.Event()

    def __call__(self, block: Block) -> None:
        if block not in self.blocks:
            self.blocks.append(block)
        self.found.set()
        if block.ended:
            self.ended.append(block)
            self.over.set()


def watched(
    main: Callable[[Seen], Coroutine[Any, Any, object]],
    make_loop: Loops = new_event_loop,
    limit: float = 0.05,
    **settings: Any,
) -> Seen:
    """Run `main` on a loop that is watched; its argument is told of blocks."""
    seen = Seen()

    async def run() -> None:
        watchdog = Watchdog(limit, **settings)
        watchdog.observers.append(seen)
        watchdog.start()
        watchdog.start()  # changes nothing
        await asyncio.sleep(0)
        try:
            await main(seen)
        finally:
            watchdog.stop()
            watchdog.stop()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(run())
    return seen


def block_until_found(seen: Seen) -> None:
    assert seen.found.wait(30)


@both_loops
def test_a_call_that_blocks_the_loop_is_told_with_its_line(make_loop: Loops) -> None:
    """R3: while it lasts, and at its end."""

    async def main(seen: Seen) -> None:
        block_until_found(seen)
        await asyncio.to_thread(seen.over.wait, 30)

    seen = watched(main, make_loop)
    (block,) = seen.blocks
    assert seen.ended == [block]
    assert block.stack.place.function == "block_until_found"
    assert any(each.function.endswith("main") for each in block.stack.places)
    assert block.thread == threading.get_ident()
    assert 0.04 < block.seconds <= block.lasted + 0.001
    assert not block.stack.in_greenlet


def test_code_that_lets_no_other_thread_run_is_told_afterwards() -> None:
    """R3: a regular expression is searched in C, and nothing else gets Python's lock."""

    async def main(seen: Seen) -> None:
        length = 18
        while not seen.over.is_set() and length < 32:
            re.match("(a+)+b", "a" * length)
            length += 1
            await asyncio.sleep(0)
        await asyncio.to_thread(seen.over.wait, 30)

    seen = watched(main)
    assert any(each.alone and "re" in str(each.stack.places[-1]) for each in seen.blocks)


@both_loops
def test_an_idle_loop_is_not_woken(make_loop: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: a server that has nothing to do stays asleep."""
    asked = []
    ask = Watchdog._ask
    monkeypatch.setattr(Watchdog, "_ask", lambda self: (asked.append(1), ask(self)))

    looks: list[float] = []

    async def main(seen: Seen) -> None:
        while len(looks) < 40:
            await asyncio.sleep(0.5)

    seen = watched(main, make_loop, on_look=looks.append)
    assert seen.blocks == []
    assert len(asked) <= 4  # the code of this test runs a little, too


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no clocks of threads")
def test_most_looks_at_an_idle_loop_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: as long as its thread has not run, the loop still sleeps; then one is found as ever."""
    close: list[float] = []
    look_closely = Watchdog._look_closely

    def note(self: Watchdog, now: float, *arguments: Any) -> bool:
        close.append(now)
        return look_closely(self, now, *arguments)

    monkeypatch.setattr(Watchdog, "_look_closely", note)
    looks: list[float] = []

    async def main(seen: Seen) -> None:
        while len(looks) < 40:
            await asyncio.sleep(0.5)
        assert len(close) < len(looks) / 2
        block_until_found(seen)

    seen = watched(main, on_look=looks.append)
    assert [each.stack.place.function for each in seen.blocks] == ["block_until_found"]


@both_loops
def test_a_loop_that_is_busy_with_short_calls_is_not_blocked(make_loop: Loops) -> None:
    """R3: it turns, so nothing holds it."""

    async def main(seen: Seen) -> None:
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            await asyncio.sleep(0)

    assert watched(main, make_loop).blocks == []


def test_a_long_turn_with_many_calls_blames_none_of_them() -> None:
    """R3: `progress` shows that one call has ended and another has begun."""
    count = 0

    def call() -> None:
        nonlocal count
        count += 1
        time.sleep(0.002)

    async def main(seen: Seen) -> None:
        for _ in range(200):
            asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    assert watched(main, progress=lambda: count).blocks == []


def test_threads_that_are_busy_are_not_blamed_on_the_loop() -> None:
    """R3: the loop waits for Python's lock again and again, in the middle of the app's code."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            sum(range(100))

    threads = [threading.Thread(target=work) for _ in range(12)]

    async def main(seen: Seen) -> None:
        for _ in range(8):
            os.stat("/")  # gives the lock up, and waits for it among all others
            await asyncio.sleep(0)

    for thread in threads:
        thread.start()
    try:
        seen = watched(main, limit=0.1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen.blocks == []


#: Says when it is in the app's code, for so long that it is stopped there, and what was told then.
STOPPED = """
import asyncio, time
from bridge.loops.watchdog.watchdog import Watchdog
told = []
async def main():
    watchdog = Watchdog(2.0)
    watchdog.observers.append(told.append)
    watchdog.start()
    await asyncio.sleep(0.1)
    print("here", flush=True)
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass
    await asyncio.sleep(0.1)
    watchdog.stop()
asyncio.run(main())
print(len(told), flush=True)
"""


@pytest.mark.slow
def test_a_process_that_was_stopped_blames_nothing() -> None:
    """R3: SIGSTOP, as a suspended machine: nobody has blocked the loop."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPED], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "0\n"


def test_a_debugger_is_left_alone() -> None:
    """R3: it waits for a person."""
    names: dict[str, Any] = {"__name__": "pdb", "wait": time.sleep}
    exec("def stand(seconds):\n    wait(seconds)", names)

    async def main(seen: Seen) -> None:
        names["stand"](0.3)
        await asyncio.sleep(0)

    assert watched(main).blocks == []


def test_the_end_of_the_watch_ends_what_is_told() -> None:
    """R3: who was told that something blocks is told that it does not any more."""

    async def main(seen: Seen) -> None:
        block_until_found(seen)

    seen = watched(main)
    assert seen.ended == seen.blocks
    assert len(seen.ended) == 1


def test_observers_that_fail_end_the_watch_and_harm_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """R3: it is told in the log."""
    failed = threading.Event()

    def fail(now: float) -> None:
        failed.set()
        raise ZeroDivisionError

    async def main(seen: Seen) -> None:
        await asyncio.to_thread(failed.wait, 30)

    watched(main, on_look=fail)
    assert "the watchdog of the event loop has failed, and ends" in caplog.text


def test_a_loop_that_has_closed_is_watched_no_more() -> None:
    """R3: also if nobody has said so."""
    watchdog = Watchdog(0.02)

    async def main() -> None:
        watchdog.start()
        await asyncio.sleep(0.05)

    asyncio.run(main())
    thread = watchdog._thread
    assert thread is not None
    assert thread.join(30)  # the code of this test runs in the thread, and no loop answers


@pytest.mark.parametrize("without", ["threads", "loops"])
def test_without_threads_nothing_is_watched(without: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: the server runs all the same; descriptors are closed."""
    if without == "threads":
        monkeypatch.setattr(module.NativeThread, "start", _refuse)
    else:
        monkeypatch.setattr(module, "threading_is_patched", lambda: True)

    async def main(seen: Seen) -> None:
        time.sleep(0.2)
        await asyncio.sleep(0)

    assert watched(main).blocks == []


def _refuse(self: object) -> None:
    raise RuntimeError("can't start new thread")
