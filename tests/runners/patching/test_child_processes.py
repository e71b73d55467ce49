"""Child processes in greenlets."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from os import waitpid as waitpid_imported_before
from typing import Any

import pytest

from bridge.errors import RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.patching import child_processes
from tests.runners.jobs import Call, run_with, until

#: Seconds that a child lives.
LIFE = 0.5
SLEEPS = ["sleep", str(LIFE)]
#: How many at once; one after the other would take much longer than `PATIENCE`.
COUNT, PATIENCE = 30, 14.0


@pytest.fixture(params=["pidfd", "looks"])
def told(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a child is told by a descriptor, or has to be looked for."""
    if request.param == "looks":
        monkeypatch.delattr(os, "pidfd_open", raising=False)


def submit(runner: Runner, *jobs: Callable[[], Any]) -> list[Call]:
    calls = [Call(job) for job in jobs]
    for call in calls:
        runner.submit(call)
    return calls


def by_popen() -> int:
    with subprocess.Popen(SLEEPS) as child:
        return child.wait()


def by_timeout() -> int:
    child = subprocess.Popen(["sleep", "60"])
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.01)
    child.kill()
    assert child.wait(60) == -9
    return subprocess.Popen(SLEEPS).wait(60)


def by_run() -> int:
    return subprocess.run(SLEEPS, check=True).returncode


def by_output() -> int:
    done = subprocess.run(SLEEPS, capture_output=True, check=True)
    return len(done.stdout + done.stderr)


def by_one_pipe() -> int:
    return len(subprocess.check_output(SLEEPS))


def by_waitpid() -> int:
    pid = os.posix_spawnp("sleep", SLEEPS, os.environ)
    ended, status = waitpid_imported_before(pid, 0)
    assert ended == pid
    return status


def by_shell() -> int:
    return subprocess.call(f"sleep {LIFE}", shell=True)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize(
    "way", [by_popen, by_timeout, by_run, by_output, by_one_pipe, by_waitpid, by_shell]
)
def test_side_by_side(way: Callable[[], int]) -> None:
    """G6: greenlets wait for their children side by side, and beside others that sleep."""

    async def main(runner: Runner) -> None:
        begin = time.monotonic()
        calls = submit(runner, *[way] * COUNT)
        sleeping = submit(runner, *[lambda: time.sleep(0.05)] * 50)
        for call in sleeping:
            await call.done
        assert [await call.done for call in calls] == [0] * COUNT
        assert LIFE <= time.monotonic() - begin < PATIENCE

    run_with(GreenletRunner(), main)


def test_pipes() -> None:
    """G6: what a child writes is read as it comes, by lines or as a whole, text or bytes; what it
    reads may be more than a pipe has room for."""
    script = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    time.sleep(0.02); sys.stdout.write(line.upper()); sys.stdout.flush()\n"
    )

    def talk(text: bool) -> Any:
        command = [sys.executable, "-c", script]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=text) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            lines: list[Any] = []
            for word in ("a\n", "b\n"):
                child.stdin.write(word if text else word.encode())
                child.stdin.flush()
                lines.append(child.stdout.readline())
            child.stdin.write("c\n" if text else b"c\n")
            child.stdin.close()
            lines.append(child.stdout.read())
        return lines

    def pours() -> int:
        done = subprocess.run(["cat"], input=bytes(1 << 20), stdout=subprocess.PIPE, check=True)
        return len(done.stdout)

    def swallows() -> int:
        """One pipe alone, which `communicate` writes to."""
        with subprocess.Popen(["wc", "-c"], stdin=-1, stdout=-1, bufsize=0) as child:
            assert isinstance(child.stdin, io.RawIOBase)
            sent = 0
            while sent < 1 << 20:
                sent += child.stdin.write(bytes(1 << 16)) or 0
            child.stdin.close()
            assert isinstance(child.stdout, io.RawIOBase)
            return int(child.stdout.read()) - sent

    async def main(runner: Runner) -> None:
        calls = submit(runner, *[lambda: talk(True), lambda: talk(False), pours, swallows] * 3)
        found = [await call.done for call in calls]
        assert found == [["A\n", "B\n", "C\n"], [b"A\n", b"B\n", b"C\n"], 1 << 20, 0] * 3

    run_with(GreenletRunner(), main)
    assert [talk(True), talk(False), pours(), swallows()] == [
        ["A\n", "B\n", "C\n"], [b"A\n", b"B\n", b"C\n"], 1 << 20, 0,
    ]  # fmt: skip


def test_timeouts_with_output() -> None:
    """G6: `communicate` keeps its time limit, and what it has read so far."""

    def job() -> Any:
        child = subprocess.Popen("echo a; sleep 60", shell=True, stdout=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired) as raised:
            child.communicate(timeout=0.5)
        child.kill()
        child.stdout.close()  # type: ignore[union-attr]
        return raised.value.output, child.wait()

    async def main(runner: Runner) -> None:
        calls = submit(runner, *[job] * 5)
        assert [await call.done for call in calls] == [(b"a\n", -9)] * 5

    run_with(GreenletRunner(), main)


def test_pipe_that_is_closed_meanwhile() -> None:
    """G6: a pipe that is closed while a greenlet reads it ends that with an error."""

    async def main(runner: Runner) -> None:
        children = []

        def job() -> None:
            with subprocess.Popen(["sleep", "60"], stdout=subprocess.PIPE, bufsize=0) as child:
                children.append(child)
                try:
                    child.stdout.read(1)  # type: ignore[union-attr]
                finally:
                    child.kill()

        (call,) = submit(runner, job)
        await until(lambda: bool(children) and runner.stats().busy == 1)
        children[0].stdout.close()
        with pytest.raises(OSError, match="closed while"):
            await call.done

    run_with(GreenletRunner(), main)


def test_two_greenlets_read_one_pipe() -> None:
    """G6: both are woken by what comes; the one that finds nothing any more waits on."""

    async def main(runner: Runner) -> None:
        arguments: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        with subprocess.Popen(["cat"], **arguments) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            calls = submit(runner, *[partial(child.stdout.read, 10)] * 2)
            for text in (b"a", b"b"):
                await asyncio.sleep(0.01)
                child.stdin.write(text)
                await until(lambda: any(call.done.done() for call in calls))
                (done,) = (call for call in calls if call.done.done())
                assert done.done.result() == text
                calls.remove(done)

    run_with(GreenletRunner(), main)


def test_what_a_thread_waits_for_too() -> None:
    """G6: a child for which a thread waits is waited for in a greenlet all the same."""

    async def main(runner: Runner) -> None:
        child = subprocess.Popen(SLEEPS)
        thread = threading.Thread(target=child.wait)
        thread.start()
        (call,) = submit(runner, child.wait)
        assert await call.done == 0
        (call,) = submit(runner, child.wait)
        assert await call.done == 0
        thread.join()

    run_with(GreenletRunner(), main)


@pytest.mark.usefixtures("told")
def test_interrupts() -> None:
    """G4: what ends the request ends its wait for a child."""

    async def main(runner: Runner) -> None:
        child = subprocess.Popen(["sleep", "60"])
        calls = submit(runner, child.wait, lambda: os.waitpid(child.pid, 0))
        await until(lambda: runner.stats().busy == 2)
        await asyncio.sleep(0.01)
        for call in calls:
            runner.interrupt(call, RequestCancelled("enough"))
            with pytest.raises(RequestCancelled):
                await call.done
        child.kill()
        child.wait()

    run_with(GreenletRunner(), main)


def test_errors() -> None:
    """G6: a child that is not there is the same error as before."""

    async def main(runner: Runner) -> None:
        with pytest.raises(ChildProcessError):
            child_processes._waitpid(1, 0)
        for job in (lambda: os.waitpid(1, 0), lambda: waitpid_imported_before(1, 0)):
            (call,) = submit(runner, job)
            with pytest.raises(ChildProcessError):
                await call.done
        (call,) = submit(runner, lambda: os.waitpid("1", 0))  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await call.done

    run_with(GreenletRunner(), main)


@pytest.mark.filterwarnings("ignore:line buffering:RuntimeWarning")
def test_other_buffers() -> None:
    """G6: pipes have the buffers that were asked for."""
    for size in (1, 2, 100_000):
        with subprocess.Popen(["cat"], stdin=-1, stdout=-1, bufsize=size) as child:
            assert child.communicate(b"abc") == (b"abc", None)
    with subprocess.Popen(["cat"], stdin=-1, stdout=-1, bufsize=1, text=True) as lines:
        assert lines.stdin is not None
        assert lines.stdout is not None
        lines.stdin.write("a\n")
        assert lines.stdout.readline() == "a\n"
