"""The guard: a process that is told to end does, whatever its main thread does (P2)."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

from bridge.loops.waiters import NativeThread
from bridge.server.lifecycle.guard import CUT_LIMIT, ORPHAN_LIMIT, Deadline, Guard, Watch
from tests.support.site import STUCK, app_source, is_pending, running
from tests.support.waiting import eventually

TERM, INT, HUP = signal.SIGTERM, signal.SIGINT, signal.SIGHUP


# ------------------------------------------------------------- when the process is ended


@pytest.mark.parametrize(
    ("limit", "signals", "end", "code"),
    [
        (5.0, [], None, 0),
        (5.0, [(TERM, 10.0)], 15.0, 143),
        (5.0, [(INT, 10.0)], 15.0, 130),
        (0.0, [(TERM, 10.0)], 10.0, 143),
        (None, [(TERM, 10.0)], None, 143),
        (None, [(INT, 10.0)], None, 130),
        (5.0, [(TERM, 10.0), (TERM, 12.0)], 15.0, 143),
        (5.0, [(INT, 10.0), (TERM, 12.0)], 15.0, 130),
        (5.0, [(INT, 10.0), (INT, 12.0)], 12.0 + CUT_LIMIT, 130),
        (5.0, [(TERM, 10.0), (INT, 12.0)], 12.0 + CUT_LIMIT, 130),
        (None, [(TERM, 10.0), (INT, 12.0)], 12.0 + CUT_LIMIT, 130),
        (5.0, [(HUP, 10.0)], None, 0),
        (5.0, [(HUP, 10.0), (TERM, 11.0), (HUP, 12.0)], 16.0, 143),
    ],
)
def test_deadline(
    limit: float | None, signals: list[tuple[int, float]], end: float | None, code: int
) -> None:
    """P2: the first signal gives the limit, a second SIGINT cuts, a second SIGTERM is nothing."""
    deadline = Deadline(lambda: limit, lambda number: True)
    for number, now in signals:
        deadline.note(number, now)
    assert deadline.code == code
    if end is None:
        assert deadline.left(1e9) is None
    else:
        assert deadline.left(end - 0.5) == 0.5
        assert deadline.left(end + 0.5) == 0


def test_a_signal_of_the_app_is_no_deadline() -> None:
    """P2: a signal for which the app has set a handler of its own does not end the process."""
    deadline = Deadline(lambda: 5.0, lambda number: number == TERM)
    deadline.note(INT, 10.0)
    assert (deadline.left(10.0), deadline.code) == (None, 0)
    deadline.note(TERM, 20.0)
    deadline.note(INT, 21.0)
    assert (deadline.left(20.0), deadline.code) == (5.0, 143)


# ------------------------------------------------------------- the guard and its thread


@pytest.fixture
def pipes() -> Iterator[list[tuple[int, int]]]:
    """Three pipes, as loops have them to be told of signals."""
    pairs = [os.pipe() for _ in range(3)]
    for _, mouth in pairs:
        os.set_blocking(mouth, False)
    yield pairs
    for descriptor in {each for pair in pairs for each in pair}:
        try:
            os.close(descriptor)
        except OSError:
            pass  # the test has


def test_watch(pipes: list[tuple[int, int]]) -> None:
    """P2: each signal is noted, and passed on to the loop that is there now, if there is one."""
    (reader, writer), (first_ear, first), (second_ear, second) = pipes
    noted: SimpleQueue[int] = SimpleQueue()

    def is_ours(number: int) -> bool:
        noted.put(number)
        return True

    watch = Watch(os.dup(reader), Deadline(lambda: 1000.0, is_ours))

    def tell() -> None:
        for ear, mouth in ((first_ear, first), (second_ear, second)):
            watch.pass_on_to(mouth)
            os.write(writer, bytes([INT]))
            assert os.read(ear, 9) == bytes([INT])
        os.close(second_ear)  # nobody reads what is passed on
        os.write(writer, bytes([TERM]))
        while noted.get(timeout=30) != TERM:
            pass
        os.write(writer, b"\0")

    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(tell)
        watch.run()
        telling.result()
    watch.close()


def test_watch_without_a_loop(pipes: list[tuple[int, int]]) -> None:
    """P2: while there is no loop yet, a signal is passed on to nobody; a 0 ends the watch."""
    (reader, writer), (asked, answer), _ = pipes
    deadline = Deadline(lambda: os.write(answer, b"x") * 1000.0, lambda number: True)
    watch = Watch(os.dup(reader), deadline)

    def tell() -> None:
        os.write(writer, bytes([TERM]))
        os.read(asked, 1)  # it has been noted
        os.write(writer, b"\0")

    with ThreadPoolExecutor(1) as pool:
        telling = pool.submit(tell)
        watch.run()
        telling.result()
    assert deadline.code == 143
    watch.close()


def test_watch_ends_the_process(tmp_path: Path) -> None:
    """P2: when the time is up the process ends, with the code of the signal."""
    code = """
import os, signal
from bridge.server.lifecycle.guard import Deadline, Watch
reader, writer = os.pipe()
os.write(writer, bytes([signal.SIGTERM]))
Watch(reader, Deadline(lambda: 0.0, lambda number: True)).run()
"""
    with running(tmp_path, app_source(), code=code) as server:
        assert server.process.wait(15) == 143


def test_a_deadline_of_a_worker() -> None:
    """P7: without a limit signals change nothing; the end of the supervisor gives one."""
    deadline = Deadline(None, lambda number: True)
    for number in (TERM, INT, INT):
        deadline.note(number, 10.0)
    assert (deadline.left(1e9), deadline.code) == (None, 0)
    deadline.note_orphaned(20.0)
    assert (deadline.left(20.0), deadline.code) == (ORPHAN_LIMIT, 1)


def test_watch_of_a_lifeline(pipes: list[tuple[int, int]]) -> None:
    """P7: what comes through it is not the guard's; its end is, and signals after it, too."""
    (reader, writer), (ear, mouth), _ = pipes
    ours, theirs = socket.socketpair()
    orphaned = threading.Event()

    class Noted(Deadline):
        def note_orphaned(self, now: float) -> None:
            super().note_orphaned(now + 1000)
            orphaned.set()

    watch = Watch(os.dup(reader), Noted(None, lambda number: True), theirs.fileno())

    def tell() -> None:
        watch.pass_on_to(mouth)
        ours.send(b"a message")
        os.write(writer, bytes([INT]))
        assert os.read(ear, 9) == bytes([INT])
        assert not orphaned.is_set()
        ours.close()
        assert orphaned.wait(30)
        os.write(writer, bytes([TERM]))
        assert os.read(ear, 9) == bytes([TERM])
        os.write(writer, b"\0")

    with ThreadPoolExecutor(1) as pool, theirs:
        telling = pool.submit(tell)
        watch.run()
        telling.result()
        assert theirs.recv(99) == b"a message"
    watch.close()


def test_watch_of_a_lifeline_that_is_not_there(pipes: list[tuple[int, int]]) -> None:
    """P7: a descriptor that is closed tells nothing of the supervisor."""
    (reader, writer), (_, closed), _ = pipes
    own = os.dup(reader)
    os.close(closed)
    deadline = Deadline(None, lambda number: True)
    watch = Watch(own, deadline, closed)
    os.write(writer, b"\0")
    watch.run()
    assert deadline.left(0) is None
    watch.close()


def test_watch_ends_the_process_after_its_supervisor(tmp_path: Path) -> None:
    """P7: whatever else it does; here it does nothing but watch."""
    code = """
import os, socket
from bridge.server.lifecycle.guard import Deadline, Watch
reader, writer = os.pipe()
ours, theirs = socket.socketpair()
ours.close()
Watch(reader, Deadline(None, lambda number: True), theirs.fileno()).run()
"""
    with running(tmp_path, app_source(), code=code) as server:
        assert server.process.wait(15) == 1


@pytest.fixture
def told() -> Iterator[list[int]]:
    """The signals that Python's own handler has heard of; afterwards all is as it was."""
    numbers: list[int] = []
    before = signal.signal(TERM, lambda number, frame: numbers.append(number))
    descriptor = signal.set_wakeup_fd(-1)
    yield numbers
    signal.set_wakeup_fd(descriptor)
    signal.signal(TERM, before)


def test_guard_between_python_and_loops(pipes: list[tuple[int, int]], told: list[int]) -> None:
    """P2: a guard is told first; loops hear of signals all the same, and get their place back."""
    (_, before), (first_ear, first), (second_ear, second) = pipes
    signal.set_wakeup_fd(before)
    guard = Guard(lambda: None, lambda number: True)
    guard.start()
    guard.listen()  # nobody has taken its place
    for ear, mouth in ((first_ear, first), (second_ear, second)):
        signal.set_wakeup_fd(mouth)
        guard.listen()
        guard.listen()
        os.kill(os.getpid(), TERM)
        assert os.read(ear, 9) == bytes([TERM])
    guard.stop()
    assert signal.set_wakeup_fd(-1) == before
    guard.stop()
    assert told == [TERM, TERM]


@pytest.mark.parametrize("place", ["before", "other", "none"])
def test_who_is_told_when_the_guard_is_gone(
    pipes: list[tuple[int, int]], told: list[int], place: str
) -> None:
    """P2: what was told of signals before is told again, unless another is by now."""
    (_, before), (_, other), _ = pipes
    signal.set_wakeup_fd(-1 if place == "none" else before)
    guard = Guard(lambda: None, lambda number: True)
    guard.start()
    if place == "other":
        signal.set_wakeup_fd(other)
    guard.stop()
    assert signal.set_wakeup_fd(-1) == {"before": before, "other": other, "none": -1}[place]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), MemoryError()])
def test_no_thread_for_the_guard(
    told: list[int], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """P2: a system without threads to give runs the server without a guard."""

    def fails(self: NativeThread) -> None:
        raise error

    monkeypatch.setattr(NativeThread, "start", fails)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    guard = Guard(lambda: None, lambda number: True)
    guard.start()
    guard.listen()
    guard.stop()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == mask
    assert signal.set_wakeup_fd(-1) == -1


def test_a_thread_that_does_not_end(told: list[int]) -> None:
    """P2: a guard's thread that is held up does not hold up the end of the process."""
    asked, goes_on = threading.Event(), threading.Event()

    def limit() -> None:
        asked.set()
        goes_on.wait(30)

    guard = Guard(limit, lambda number: True)
    guard.start()
    os.kill(os.getpid(), TERM)
    assert asked.wait(30)
    guard.stop()
    assert signal.set_wakeup_fd(-1) == -1
    goes_on.set()


# ------------------------------------------------------------- the exit


@pytest.mark.parametrize(
    ("seconds", "thread", "said"),
    [
        (0.1, True, ""),
        (1.1, True, "the process waits for 1 thread of the app: mail (at most 1.1 s"),
        (1.1, False, ""),
    ],
)
def test_exit_within_seconds(tmp_path: Path, seconds: float, thread: bool, said: str) -> None:
    """P2: an exit that is held up is over in time, with its own code, and says by which threads."""
    code = f"""
import sys, threading, time
from bridge.server.lifecycle.guard import end_within
sys.stdout = open(1, "w", closefd=False)
print("flushed")
if {thread}:
    threading.Thread(target=time.sleep, args=[1000], name="mail").start()
end_within({seconds}, 3)
if not {thread}:
    time.sleep(1000)
"""
    with running(tmp_path, app_source(), code=code) as server:
        assert server.process.wait(15) == 3
        assert "flushed" in server.log()
        assert said in server.log()
        assert ("waits for" in server.log()) is bool(said)


# ------------------------------------------------------------- while the app is imported


HANGS = {
    "swallows all": "while True:\n    try:\n        import time; time.sleep(9)\n"
    "    except BaseException:\n        print('again', flush=True)\n",
    "in C code": f"{STUCK}\nstuck()\n",
}


@pytest.mark.parametrize("hangs", HANGS.values(), ids=HANGS.keys())
def test_import_that_cannot_be_interrupted(tmp_path: Path, hangs: str) -> None:
    """P2: a second SIGINT ends the process, whatever the import does."""
    with running(tmp_path, f"print('begun', flush=True)\n{hangs}") as server:
        server.wait_for("begun")
        server.send_signals(signal.SIGINT)
        if "again" in hangs:
            server.wait_for("again")
        else:
            eventually(lambda: not is_pending(server.process.pid, signal.SIGINT))
        server.send_signals(signal.SIGINT)
        # Or it was interrupted just before it got stuck, and the second one came at the very end.
        assert server.process.wait(15) in (130, 0, -signal.SIGINT)


# ------------------------------------------------------------- while something blocks


@pytest.mark.parametrize("hangs", ["time.sleep(1000)", "stuck()"])
def test_blocking_lifespan(tmp_path: Path, hangs: str) -> None:
    """P2: a startup that blocks the loop ends with a second SIGINT, and after SIGTERM in 5 s."""
    for numbers, code in (([signal.SIGINT] * 2, 130), ([signal.SIGTERM], 143)):
        source = STUCK + app_source(start=f"print('begun', flush=True); {hangs}")
        with running(tmp_path, source) as server:
            server.wait_for("begun")
            for number in numbers:
                eventually(lambda: not is_pending(server.process.pid, signal.SIGINT))
                server.send_signals(number)
            assert server.process.wait(20) == code


@pytest.mark.parametrize("hangs", ["time.sleep(1000)", "stuck()"])
def test_blocked_loop(tmp_path: Path, hangs: str) -> None:
    """P2: a handler that blocks the loop is cut by a second SIGINT."""
    with running(tmp_path, STUCK + app_source(hangs)) as server, server.ask():
        server.send_signals(signal.SIGINT)
        eventually(lambda: not is_pending(server.process.pid, signal.SIGINT))
        server.send_signals(signal.SIGINT)
        assert server.process.wait(15) == 130


@pytest.mark.parametrize("hangs", ["time.sleep, 1000", "stuck"])
def test_hung_thread_of_the_loop(tmp_path: Path, hangs: str) -> None:
    """P2: ``asyncio.to_thread`` that never ends: cut by a second SIGINT, and by the grace."""
    source = STUCK + app_source(f"await asyncio.to_thread({hangs})")
    with running(tmp_path, source) as server, server.ask():
        server.send_signals(signal.SIGINT)
        server.wait_for("stopping: 1 request is still busy")
        server.send_signals(signal.SIGINT)
        assert server.process.wait(15) == 0
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.3") as server, server.ask():
        server.send_signals(signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert "left threads behind" in server.log()


def test_hung_thread_of_the_pool(tmp_path: Path) -> None:
    """P2: a WSGI app that never returns: cut by a second SIGINT, and by the grace."""
    source = (
        f"{STUCK}\ndef app(environ, start_response):\n    print('asked', flush=True)\n    stuck()"
    )
    with running(tmp_path, source) as server, server.ask():
        server.send_signals(signal.SIGINT)
        server.wait_for("stopping: 1 request is still busy")
        server.send_signals(signal.SIGINT)
        assert server.process.wait(15) == 0
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.3") as server, server.ask():
        server.send_signals(signal.SIGTERM)
        assert server.process.wait(15) == 0


def test_thread_of_the_app_that_never_ends(tmp_path: Path) -> None:
    """P2: nor do the app's own threads keep the process beyond the grace."""
    thread = "threading.Thread(target=time.sleep, args=[1000]).start()"
    source = f"import threading, time\n{thread}\n{app_source()}"
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.5") as server:
        server.wait_for("running on")
        server.send_signals(signal.SIGTERM)
        assert server.process.wait(15) == 0


def test_thread_of_the_app_that_is_waited_for(tmp_path: Path) -> None:
    """P2: an exit that waits for the app's own threads says so, and CTRL+C ends it."""
    source = (
        "import threading, time\n"
        f"threading.Thread(target=time.sleep, args=[1000], name='mail').start()\n{app_source()}"
    )
    with running(tmp_path, source) as server:
        server.wait_for("running on")
        server.send_signals(signal.SIGTERM)
        server.wait_for("the process waits for 1 thread of the app: mail")
        server.send_signals(signal.SIGINT)
        assert server.process.wait(15) == -signal.SIGINT


def test_signal_that_the_app_takes_itself(tmp_path: Path) -> None:
    """P2: a signal for which the app has set a handler of its own does not end the process."""
    code = """
import os, signal
from bridge.server.lifecycle.signals import Signals
ear, mouth = os.pipe()
os.set_blocking(mouth, False)
with Signals({signal.SIGINT: lambda: None}, limit=lambda: 0.0) as signals:
    signal.set_wakeup_fd(mouth)
    signals.listen()
    signal.signal(signal.SIGINT, lambda number, frame: None)
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGINT)
        assert os.read(ear, 1)  # the guard has heard it
    print("alive", flush=True)
"""
    with running(tmp_path, app_source(), code=code) as server:
        assert server.process.wait(15) == 0
        assert "alive" in server.log()
