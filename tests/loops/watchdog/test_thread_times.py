"""How long a thread has run and waited, on systems that tell it and on others."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from bridge.loops.watchdog import thread_times
from bridge.loops.watchdog.thread_times import ThreadTimes
from tests.support.waiting import eventually


def work(seconds: float) -> None:
    """Run for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("proc", ["/proc", "/no-such-folder"])
def test_what_a_thread_runs_is_counted_for_it_alone(proc: str) -> None:
    """R3: another thread reads how long this one has run; what that runs itself does not count."""
    times = ThreadTimes(proc)
    read: list[float] = []

    def other() -> None:
        work(0.2)
        read.append(times.read()[0])

    before = times.read()[0]
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    work(0.1)
    after = times.read()[0]
    times.close()
    assert read[0] - before < 0.1
    assert after - before >= 0.09


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="only Linux counts it")
def test_a_wait_for_a_processor_is_told() -> None:
    """R3: threads that share one processor wait for each other, and a thread that sleeps waits for
    nothing.
    """
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usable)})
    pid = os.fork()
    if not pid:
        while True:
            pass
    times = ThreadTimes()
    try:
        work(0.3)
        assert times.read()[1] > 0.03
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.sched_setaffinity(0, usable)
        times.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/schedstat"), reason="only Linux counts it")
def test_a_thread_that_sleeps_would_not_run() -> None:
    """R3: whether a thread would run if it had a processor."""
    mine: list[ThreadTimes] = []
    end = threading.Event()

    def sleeper() -> None:
        mine.append(ThreadTimes())
        end.wait()

    thread = threading.Thread(target=sleeper)
    thread.start()
    try:
        eventually(lambda: mine and not mine[0].is_runnable())
        own = ThreadTimes()
        assert own.is_runnable()
        own.close()
        assert not own.is_runnable()
        ran = mine[0].ran()
        assert 0 < ran == mine[0].ran()
    finally:
        end.set()
        thread.join()
        mine[0].close()


def test_a_system_without_clocks_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """R3: there a thread has run for as long as the process, and has never waited."""
    monkeypatch.setattr(thread_times, "_HAS_CLOCKS", False)
    times = ThreadTimes("/no-such-folder")
    work(0.05)
    ran, *others = times.read()
    assert ran == pytest.approx(time.process_time(), abs=0.05)
    assert others == [0, 0]
    assert not times.is_runnable()
    assert times.ran() != times.ran()


def test_files_that_say_something_else_are_not_used(tmp_path: Path) -> None:
    """R3: no descriptor is left open of a system that tells only a part."""
    folder = tmp_path / "self" / "task" / str(threading.get_native_id())
    folder.mkdir(parents=True)
    (folder / "schedstat").write_text("1 2 3")
    before = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
    times = ThreadTimes(str(tmp_path))
    assert times.read()[0] > 0
    if before:
        assert len(os.listdir("/proc/self/fd")) == len(before)
