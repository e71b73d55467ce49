"""The shared loop: one for the process, leased, fork-safe, and gone when nobody needs it."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from bridge.errors import Overloaded
from bridge.loops import thread as event_loop
from bridge.loops.thread import LoopThread, _Waker, current, lease, release


def run(thread: LoopThread, job) -> object:  # type: ignore[no-untyped-def]
    """What `job()` gives when it is called in the loop."""
    future: Future[object] = Future()
    thread.submit(lambda: future.set_result(job()))
    return future.result(10)


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    taken = lease()
    yield taken
    release(taken)
    assert taken.join(10)


class TestLease:
    def test_one_for_all(self, thread: LoopThread) -> None:
        """A30: everybody in the process gets the same loop."""
        second = lease()
        assert second is thread is current()
        release(second)
        assert current() is thread

    @pytest.mark.parametrize(
        "missing", ["threading.Thread.start", "bridge.loops.factory._make_loop"]
    )
    def test_a_shortage_passes(self, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A30: with no thread or descriptor left for the loop that is said; later it starts."""

        def fail(*_: object) -> None:
            raise OSError("none left")

        with monkeypatch.context() as patch:
            patch.setattr(missing, fail)
            for _ in range(3):
                with pytest.raises(Overloaded, match="none left"):
                    lease()
        assert current() is None
        taken = lease()
        assert run(taken, taken.is_current) is True
        release(taken)
        assert taken.join(10)

    def test_runs_in_a_thread_of_its_own(self, thread: LoopThread) -> None:
        """A30: the loop runs in a daemon thread, and knows when it is asked from inside."""
        assert run(thread, thread.is_current) is True
        assert thread.is_current() is False
        runs_in = run(thread, threading.current_thread)
        assert isinstance(runs_in, threading.Thread)
        assert runs_in.daemon

    def test_the_last_release_ends_it(self) -> None:
        """A30: neither thread nor descriptor is left when the last lease is given back."""
        release(taken := lease())
        assert taken.join(10)  # what is made once per process has been made now
        del taken
        before = threading.active_count(), len(os.listdir("/proc/self/fd"))
        taken = lease()
        for _ in range(5):
            assert lease() is taken
        for _ in range(6):
            release(taken)
        assert taken.join(10)
        assert current() is None
        del taken
        assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before

    def test_from_many_threads_at_once(self) -> None:
        """A30: threads that ask for the first loop at the same time get the same one."""
        together = threading.Barrier(8)
        taken: list[LoopThread] = []

        def ask() -> None:
            together.wait()
            taken.append(lease())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert len(set(taken)) == 1
        for each in taken:
            release(each)
        assert taken[0].join(10)

    def test_tasks_are_cancelled_at_the_end(self) -> None:
        """A26 A30: a loop that ends leaves no task pending, not even one that was just started."""
        taken = lease()
        ended = threading.Event()

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        task = run(taken, lambda: taken.loop.create_task(wait()))
        run(taken, lambda: None)
        release(taken)
        assert taken.join(10)
        assert ended.is_set()
        assert isinstance(task, asyncio.Task)
        assert task.cancelled()


class TestSubmit:
    def test_in_order(self, thread: LoopThread) -> None:
        """A30: jobs run in the order in which they came, each once."""
        seen: list[int] = []
        for number in range(1000):
            thread.submit(lambda number=number: seen.append(number))
        run(thread, lambda: None)
        assert seen == list(range(1000))

    def test_one_wake_up_for_a_batch(self, thread: LoopThread, monkeypatch) -> None:  # type: ignore[no-untyped-def]
        """A34: jobs that come while the loop is being woken do not wake it again."""
        wakes = []
        busy, go = threading.Event(), threading.Event()
        thread.submit(lambda: (busy.set(), go.wait()))
        busy.wait()
        wake = thread._waker.wake
        monkeypatch.setattr(thread._waker, "wake", lambda: (wakes.append(1), wake()))
        for _ in range(100):
            thread.submit(lambda: None)
        go.set()
        assert run(thread, lambda: "after them") == "after them"
        assert len(wakes) <= 2

    def test_a_job_that_raises(self, thread: LoopThread, caplog) -> None:  # type: ignore[no-untyped-def]
        """A30: a job that raises is logged, and takes none of the others along."""
        busy, go = threading.Event(), threading.Event()
        thread.submit(lambda: (busy.set(), go.wait()))
        busy.wait()
        thread.submit(lambda: 1 / 0)
        after: Future[object] = Future()
        thread.submit(lambda: after.set_result("after it"))
        go.set()
        assert after.result(10) == "after it"
        assert "ZeroDivisionError" in caplog.text

    def test_after_the_end(self) -> None:
        """A30: a job for a loop that has ended is an error when it is submitted."""
        taken = lease()
        release(taken)
        assert taken.join(10)
        with pytest.raises(RuntimeError, match="has ended"):
            taken.submit(lambda: None)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_fork(thread: LoopThread) -> None:
    """A30: a child finds no loop, makes its own, and does not disturb its parent's."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert current() is None
            release(thread)  # not its own: ignored
            mine = lease()
            assert mine is not thread
            assert run(mine, os.getpid) == os.getpid()
            release(mine)
            assert mine.join(10)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert run(thread, os.getpid) == os.getpid()


AT_EXIT = """
import asyncio, sys
from bridge.log import logger
from bridge.loops.thread import _Waker, lease, release

thread = lease()
async def close():
    print("closed,", await WORK)
    print("still in the loop:", thread.is_current())
    release(thread)
thread.submit(lambda: thread.on_exit("me", close))
"""


#: CPython 3.12.0 and 3.12.1 start no thread while a process ends, wherever that is asked for
#: (gh-113964).
WORK = (
    "asyncio.sleep(0, 'with a thread')"
    if (3, 12) <= sys.version_info < (3, 12, 2)
    else "asyncio.to_thread(lambda: 'with a thread')"
)


def test_at_exit() -> None:
    """A30 A31: at the end of the process holders are closed while threads can still be started."""
    code = AT_EXIT.replace("WORK", WORK)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True)
    assert (done.stdout, done.stderr) == (b"closed, with a thread\nstill in the loop: True\n", b"")


def test_a_loop_that_is_blocked_at_exit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A30: an app that blocks the loop cannot keep the process from ending."""
    go = threading.Event()
    taken = lease()
    taken.submit(go.wait)
    monkeypatch.setattr(event_loop, "EXIT_TIMEOUT", 0.05)
    taken.exit()
    assert "did not end within" in caplog.text
    go.set()
    release(taken)
    assert taken.join(10)
    taken.exit()  # a second time, by atexit: nothing


GEVENT = """
from gevent import monkey; monkey.patch_all()
import asyncio, threading, time
from bridge.loops.thread import _Waker, lease, release
from bridge.loops.waiters import waiter

async def work(flag, seen):
    for _ in range(3):  # the first starts a thread, which must not see the loop either
        seen.append(await asyncio.to_thread(blocking))
    asyncio.get_running_loop()
    flag.wake()

def blocking():
    if len(seen) == 1:
        time.sleep(0.01)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "no loop here"

thread, seen = lease(), []
flag = waiter()
thread.submit(lambda: thread.loop.create_task(work(flag, seen)))
assert flag.wait(20)
print(seen)
release(thread)
assert thread.join(20)
"""


def test_under_gevent() -> None:
    """A33: with `threading` patched, the loop's own threads work and see no running loop."""
    done = subprocess.run([sys.executable, "-c", GEVENT], capture_output=True, timeout=60)
    assert done.stdout == b"['no loop here', 'no loop here', 'no loop here']\n", (
        done.stderr.decode()
    )


NEVER_STARTED = """
from bridge.loops.thread import _Waker, lease
lease()
"""


def test_a_lease_that_nobody_gives_back() -> None:
    """A30: a process ends at once though somebody forgot its lease."""
    subprocess.run([sys.executable, "-c", NEVER_STARTED], check=True, timeout=20)


def test_without_eventfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A30: on a system without eventfd the loop is woken through a pipe, however often."""
    monkeypatch.delattr(os, "eventfd", raising=False)
    waker = _Waker()
    try:
        for _ in range(100_000):  # more than fits into a pipe
            waker.wake()
        while select.select([waker.descriptor], [], [], 0)[0]:
            waker.clear()
        waker.clear()  # nothing is there
    finally:
        del waker


def test_on_exit_and_cancelled() -> None:
    """A31: what is closed when the process ends can be taken back; two exits close once."""
    thread, closed = lease(), []

    async def close(name: str) -> None:
        closed.append(name)
        await asyncio.sleep(0)
        release(thread)

    def register() -> None:
        thread.on_exit("kept", lambda: close("kept"))
        thread.on_exit("cancelled", lambda: close("cancelled"))
        thread.cancel_on_exit("cancelled")
        thread.cancel_on_exit("unknown")
        thread._begin_exit()  # as a second exit handler would

    run(thread, register)
    thread.exit()
    assert closed == ["kept"]
    assert current() is None


def test_a_lease_of_the_parent_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A30: a process releases nothing that it has inherited."""
    thread = lease()
    with monkeypatch.context() as patch:
        patch.setattr(thread, "pid", thread.pid + 1)
        release(thread)
    assert current() is thread
    release(thread)
    assert thread.join(10)
