"""Where threads and tasks stand: told by the process itself, and by the signal when it hangs."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.stack import Place, Stack
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.inline import InlineRunner
from bridge.server.process.stacks import BOARD_SIZE, MOST_TEXT, SIGNAL, StackFile, describe
from tests.runners.jobs import Call, run_with, until
from tests.support.hosts import ROOT
from tests.support.waiting import eventually

#: A process that has the stack file as its descriptor, says that it begins, and hangs.
HANGING = """\
import os, sys, threading, time
from bridge.server.process.stacks import StackFile
def hang():
    os.write(1, b"x")
    {hang}
file = StackFile()
os.dup2({descriptor}, file._descriptor)
file.register()
hang()
"""


@contextmanager
def hanging(file: StackFile, hang: str) -> Iterator[int]:
    """A process whose function `hang` does not return, and which has `file`; gives its pid."""
    descriptor = file._descriptor
    source = HANGING.format(hang=hang, descriptor=descriptor)
    with subprocess.Popen(
        [sys.executable, "-c", source], cwd=ROOT, stdout=subprocess.PIPE, pass_fds=[descriptor]
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def file() -> Iterator[StackFile]:
    stacks = StackFile()
    yield stacks
    stacks.close()


def read(file: StackFile, pid: int) -> str:
    async def main() -> str:
        return await file.read(pid)

    return asyncio.run(main())


@pytest.mark.parametrize(
    "hang",
    [
        "time.sleep(60)",
        "while True: pass",
        # The regular expression is searched in C, and nothing else gets the GIL.
        "import re; re.match('(a+)+b', 'a' * 60)",
    ],
)
def test_a_process_that_hangs_shows_where(file: StackFile, hang: str) -> None:
    """P6: also in C code that holds the GIL; and again, as often as it is asked."""
    with hanging(file, hang) as pid:
        for _ in range(2):
            eventually(lambda: 'File "<string>", line 5 in hang' in read(file, pid))
        assert read(file, pid).count("in hang") == 1


def test_a_process_registers_itself(file: StackFile) -> None:
    """P6: all its threads are told."""
    file.register()
    try:
        assert "in test_a_process_registers_itself" in read(file, os.getpid())
    finally:
        faulthandler.unregister(SIGNAL)


def test_two_who_ask_get_one_answer(file: StackFile) -> None:
    """P6: the watch for hanging workers, and a user, may ask at the same time."""

    async def main() -> None:
        with hanging(file, "time.sleep(60)") as pid:
            first, second = await asyncio.gather(file.read(pid), file.read(pid))
            assert first == second
            assert "in hang" in first

    asyncio.run(main())


def test_a_process_that_would_be_ended_by_the_signal_is_not_asked(file: StackFile) -> None:
    """P6: one that has just begun has no handler yet; one that is gone has nothing to say."""
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert read(file, process.pid) == ""
        process.communicate(b"\n")
        assert process.wait() == 0
    assert read(file, process.pid) == ""


def test_a_process_that_is_stopped_has_no_answer_in_time(file: StackFile) -> None:
    """P6: what the system holds cannot write; who waits for it is not held for long."""
    with hanging(file, "time.sleep(60)") as pid:
        os.kill(pid, signal.SIGSTOP)
        assert read(file, pid) == ""


def test_a_file_that_is_closed_leaves_nobody_waiting() -> None:
    """P6: the worker was reaped while somebody asked."""

    async def main() -> None:
        file = StackFile()
        with hanging(file, "time.sleep(60)") as pid:
            os.kill(pid, signal.SIGSTOP)
            answer = file.read(pid)
            file.close()
            with pytest.raises(asyncio.CancelledError):
                await answer
            await asyncio.sleep(0.1)  # the look that was due finds nothing to do

    asyncio.run(main())


def test_without_files_in_memory_there_are_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: systems other than Linux have no memfd."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    StackFile().close()
    file = StackFile()
    with hanging(file, "time.sleep(60)") as pid:
        assert "in hang" in read(file, pid)
    file.close()


# ------------------------------------------------------------- what a process tells itself


async def sleeper() -> None:
    await asyncio.sleep(60)


async def waits_for(event: asyncio.Event) -> None:
    await sleeper() if event.is_set() else await event.wait()


def test_threads_and_tasks_are_told_with_their_names_and_lines() -> None:
    """P5: tasks with the chain of what they await; those at one place are told once."""

    async def main() -> str:
        event, release = asyncio.Event(), threading.Event()
        tasks = [asyncio.create_task(waits_for(event), name=f"one-{n}") for n in range(5)]
        tasks.append(asyncio.create_task(sleeper(), name="alone"))
        thread = threading.Thread(target=release.wait, name="my-thread")
        thread.start()
        await asyncio.sleep(0)
        text = describe()
        release.set()
        thread.join()
        for task in tasks:
            task.cancel()
        return text

    text = asyncio.run(main())
    assert "thread MainThread\n" in text
    assert "thread my-thread\n" in text
    assert "    await sleeper() if event.is_set() else await event.wait()\n" in text
    assert "5 tasks: one-" in text
    assert " and 2 more\n" in text
    assert "task alone\n" in text
    assert f'File "{__file__}"' in text
    assert "await asyncio.sleep(60)" in text
    assert text.count("in sleeper") == 1


def test_tasks_of_other_loops_are_told() -> None:
    """P5: an app may run a loop in a thread of its own."""

    running: queue.Queue[asyncio.Task[None]] = queue.Queue()

    async def elsewhere() -> None:
        running.put(asyncio.current_task())  # type: ignore[arg-type]
        await sleeper()

    def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(elsewhere())

    async def main() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        task = running.get(timeout=20)
        eventually(lambda: "in sleeper" in describe())
        task.get_loop().call_soon_threadsafe(task.cancel)
        thread.join()

    asyncio.run(main())


def test_what_is_told_is_bounded() -> None:
    """P5: an app may have ten thousand tasks, all of them somewhere else, and a deep recursion."""

    async def nested(depth: int) -> None:
        await (nested(depth - 1) if depth else asyncio.sleep(60))

    async def main() -> str:
        tasks = [asyncio.create_task(nested(number % 150)) for number in range(10_000)]
        await asyncio.sleep(0)
        text = describe()
        for task in tasks:
            task.cancel()
        return text

    text = asyncio.run(main())
    assert len(text) < MOST_TEXT + 100
    assert "calls before)" in text
    assert "tasks more" in text.splitlines()[-1] or "cut" in text.splitlines()[-1]


def test_code_without_a_file_has_no_lines() -> None:
    """P5: what was made by `exec` is told by its name."""
    made: dict[str, Any] = {"describe": describe}
    exec("async def made(): return describe()", made)
    assert 'File "<string>", line 1, in made\nt' in asyncio.run(made["made"]()) + "\nt"


def test_many_threads_are_told_in_part() -> None:
    """P5: so is the number of threads."""

    async def main() -> str:
        release = threading.Event()
        threads = [threading.Thread(target=release.wait) for _ in range(120)]
        for thread in threads:
            thread.start()
        text = describe()
        release.set()
        for thread in threads:
            thread.join()
        return text

    assert "threads more" in asyncio.run(main())


def test_the_signal_is_one_that_nobody_uses() -> None:
    """P6: an app may have handlers for any of the usual signals."""
    assert SIGNAL in signal.valid_signals()
    assert SIGNAL not in {each.value for each in signal.Signals}


def test_a_file_that_was_made_in_another_process() -> None:
    """P11: its descriptor is all that is needed."""
    file = StackFile()
    same = StackFile(os.dup(file.fileno()))
    assert os.path.samestat(os.fstat(file.fileno()), os.fstat(same.fileno()))
    file.close()
    same.close()


# ------------------------------------------------------------- what blocks the loop


def block(ended: bool = False, function: str = "view") -> Block:
    stack = Stack((Place("app.py", 3, function),), 0, "GET /slow", "ASGI", False, False)
    since = time.monotonic() - 2.5
    return Block(stack, threading.get_ident(), since, alone=False, ended=ended)


def test_what_blocks_the_loop_is_told_at_its_thread(file: StackFile) -> None:
    """R3: the watchdog notes it for those that read the stacks, until it ends."""
    file.register()
    try:
        file.note(block())
        lines = read(file, os.getpid()).splitlines()
        place = next(n for n, line in enumerate(lines) if f"0x{threading.get_ident():016x}" in line)
        assert re.fullmatch(
            r"  the event loop has been blocked for \d+\.\d\d s by GET /slow, at app.py:3 in view",
            lines[place + 1],
        )
        assert " in test_what_blocks" in read(file, os.getpid())
        file.note(block(ended=True))
        assert file.read_note() == ("", "")
        assert "blocked for" not in read(file, os.getpid())
    finally:
        faulthandler.unregister(SIGNAL)


def test_a_note_fits_whatever_it_says(file: StackFile) -> None:
    """R3: a long one is cut, what is no note is none, and a thread may be unknown."""
    file.note(block(function="ü" * 5000))
    assert len(file.read_note()[1]) < 2048
    other = block()
    other.thread = 0xABC
    file.note(other)
    assert file._with_note("Thread 0x1 (most recent call first):").startswith("the event loop has")
    assert file._with_note("") == ""
    os.pwrite(file.fileno(), b"nonsense\0", BOARD_SIZE)
    assert file.read_note() == ("", "")


def test_greenlets_that_wait_are_told() -> None:
    """R3: by their requests, those at the same place once, with what they wait for."""

    async def main(runner: Any) -> None:
        event = asyncio.get_running_loop().create_future()
        event_too = asyncio.Event()

        def app(environ: Any) -> None:
            runner.wait(event)

        calls = [
            Call(partial(app, {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{n}"})) for n in "abcd"
        ]
        calls.append(Call(lambda: runner.wait(event_too.wait())))
        for call in calls:
            runner.submit(call)
        await until(lambda: runner.stats().busy == 5)
        text = describe([("/shop", runner), ("/other", InlineRunner())])
        assert text.count(" of /shop, waiting for <") >= 2
        assert "greenlet an app of /shop, waiting for <Task" in text
        assert "GET /a" in text
        assert " in test_greenlets_that_wait_are_told.<locals>.main.<locals>.app\n" in text
        event.set_result(None)
        event_too.set()
        for call in calls:
            await call.done

    run_with(GreenletRunner(), main)
