"""Where the threads and tasks of a worker stand: `ctl threads`, SIGUSR2, and a worker that hangs.

A worker whose loop turns answers itself (`describe`): with names, and all tasks. One that hangs
cannot. So `faulthandler` writes the stacks of its threads to a file that the supervisor has, too,
at a signal: in C, whoever has the GIL (P6). The watchdog notes in that file what blocks the loop,
and its first bytes are what a worker with a canary leaves behind (M23).
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import linecache
import mmap
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from time import monotonic
from types import FrameType
from typing import Any, Final, TypeAlias

from bridge.errors import pluralize
from bridge.loops.frames import current_frames
from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.stack import request_of
from bridge.runners import Runner, paused_jobs

#: The signal that has a worker's stacks written. Ones that nobody else uses: on Linux a real-time
#: one (programs take the first and the last of these), elsewhere one that does nothing by itself.
SIGNAL: Final[int] = getattr(signal, "SIGINFO", 0) or int(signal.SIGRTMAX) - 2

#: Seconds for a worker to write its stacks, and between two looks whether it still writes.
_WRITE_LIMIT: Final = 1.0
_PAUSE: Final = 0.05

#: The most that is told: frames of a stack (the last ones), stacks, names of tasks at one place,
#: tasks that are looked at, characters.
_MOST_FRAMES: Final = 30
_MOST_STACKS: Final = 100
_MOST_NAMES: Final = 3
_MOST_TASKS: Final = 20_000
_MOST_OF_A_NAME: Final = 200
MOST_TEXT: Final = 256 * 1024

#: The bytes at the beginning of a stack file that a worker may map (whole pages of any system),
#: those behind them that are the watchdog's, and where stacks begin.
BOARD_SIZE: Final = 65536
_NOTE_SIZE: Final = 2048
_START: Final = BOARD_SIZE + _NOTE_SIZE

#: The tasks of all loops, a `WeakSet`, before Python 3.14; asyncio has no function for it.
_KNOWN_TASKS: Final[Any] = getattr(
    asyncio.tasks, "_scheduled_tasks" if sys.version_info >= (3, 12) else "_all_tasks"
)

#: One place in the code: file, line, function.
_Place: TypeAlias = tuple[str, int, str]


class StackFile:
    """Where one worker's stacks are written. The supervisor makes it before the fork.

    The worker calls `register`, the supervisor `read`, and `close` when the worker is gone.
    `descriptor`: of one that was made before, in another process.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _nameless_file() if descriptor is None else descriptor
        #: What the worker was asked for last.
        self._answer: asyncio.Future[str] | None = None
        self._rewind()

    def _rewind(self) -> None:
        """Have stacks written behind the note; also for the worker: the two share the place."""
        os.ftruncate(self._descriptor, _START)
        os.lseek(self._descriptor, _START, os.SEEK_SET)

    def fileno(self) -> int:
        """Return the descriptor, to send it to another process."""
        return self._descriptor

    def map_board(self) -> memoryview:
        """In the worker: return memory of `BOARD_SIZE` bytes, which outlives it.

        Raises `OSError` if there is none.
        """
        os.pwrite(self._descriptor, bytes(BOARD_SIZE), 0)  # else a write to it may end the process
        return memoryview(mmap.mmap(self._descriptor, BOARD_SIZE))

    def read_board(self) -> bytes:
        """Return what is in that memory; zeros if nobody has mapped it."""
        return os.pread(self._descriptor, BOARD_SIZE, 0)

    def register(self) -> None:
        """Have this process write its stacks when it gets `SIGNAL`."""
        faulthandler.register(SIGNAL, self._descriptor, all_threads=True, chain=False)

    def read(self, pid: int) -> asyncio.Future[str]:
        """Return the stacks of the threads of the worker `pid`; empty if it writes none.

        It may have just started, or be gone, or the system holds it. Asked while an answer is
        awaited, it is the same answer. On a loop, which need not have tasks.
        """
        if self._answer is None or self._answer.done():
            self._answer = asyncio.get_running_loop().create_future()
            self._rewind()
            looks = round(_WRITE_LIMIT / _PAUSE) if _ask(pid) else 0
            self._look(self._answer, _START, looks)
        return self._answer

    def _look(self, answer: asyncio.Future[str], size: int, looks: int) -> None:
        """Answer if the file has grown and does not grow any more: it has no end mark."""
        if answer.done():
            return  # nobody waits any more
        now = os.fstat(self._descriptor).st_size
        if looks and (now <= _START or now != size):
            answer.get_loop().call_later(_PAUSE, self._look, answer, now, looks - 1)
        else:
            text = os.pread(self._descriptor, MOST_TEXT, _START)
            answer.set_result(self._with_note(text.decode(errors="replace").strip()))

    def note(self, block: Block) -> None:
        """In the worker: note what blocks the loop, until that ends (`Observer`)."""
        note = "" if block.ended else f"{block.thread:016x} {block.since!r} {block.by}"
        note_bytes = note.encode()[: _NOTE_SIZE - 1].ljust(_NOTE_SIZE, b"\0")
        os.pwrite(self._descriptor, note_bytes, BOARD_SIZE)

    def read_note(self) -> tuple[str, str]:
        """Return the thread of a loop that is blocked, in hex, and a line about it; or nothing."""
        note = os.pread(self._descriptor, _NOTE_SIZE, BOARD_SIZE).partition(b"\0")[0]
        try:
            thread, since, by = note.decode(errors="replace").split(" ", 2)
            seconds = max(monotonic() - float(since), 0.0)
        except ValueError:
            return "", ""
        return thread, f"the event loop has been blocked for {seconds:.2f} s {by}"

    def _with_note(self, stacks: str) -> str:
        """Return `stacks` with the note at the thread of the loop."""
        thread, line = self.read_note()
        before, header, after = stacks.partition(f"hread 0x{thread} ")
        if not line or not stacks:
            return stacks
        if not header:
            return f"{line}\n{stacks}"
        first, _, rest = after.partition("\n")
        return f"{before}{header}{first}\n  {line}\n{rest}"

    def close(self) -> None:
        """Close the file; who still waits for an answer waits no longer."""
        if self._answer is not None:
            self._answer.cancel()
        os.close(self._descriptor)


def _nameless_file() -> int:
    """Open a file without a name: in memory, if the system can, for disks may be read-only."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("bridge-stacks")
    import tempfile  # where the system can, processes need not load it

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _ask(pid: int) -> bool:
    """Have the worker write its stacks, if it can; return whether it was asked."""
    try:
        if _catches_signal(pid):
            os.kill(pid, SIGNAL)
            return True
    except OSError:  # it has gone
        pass
    return False


def _catches_signal(pid: int) -> bool:
    """Return whether the process has a handler for `SIGNAL`, which would end it else."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as status:
            caught = next(line for line in status if line.startswith("SigCgt:"))
    except FileNotFoundError:  # it is gone; or this is no Linux, and the signal ends nothing
        return True
    return bool(int(caught.split()[1], 16) >> (SIGNAL - 1) & 1)


# ------------------------------------------------------------- a worker's own answer


def describe(runners: Iterable[tuple[str, Runner]] = ()) -> str:
    """Return the stack of every thread and every asyncio task of this process, most recent last.

    And of each greenlet of `runners`, by mount, that waits. Those that stand at the same place are
    told once. Called on a loop.
    """
    lines: list[str] = []
    for line in (*_describe_threads(), *_describe_greenlets(runners), *_describe_tasks()):
        lines.append(line)
    text = "\n".join(lines)
    if len(text) > MOST_TEXT:
        text = text[:MOST_TEXT].rpartition("\n")[0] + "\n(cut: there is more than can be told)"
    return text


def _describe_threads() -> Iterator[str]:
    names = {each.ident: each.name for each in threading.enumerate()}
    frames = current_frames()
    for number, (ident, frame) in enumerate(frames.items()):
        if number == _MOST_STACKS:
            yield f"and {pluralize(len(frames) - number, 'thread')} more"
            return
        yield f"thread {names.get(ident, ident)}"
        yield from _describe_stack(_places_of(frame))


def _places_of(frame: FrameType | None) -> list[_Place]:
    """Return where a thread stands, the last call last; this module's own calls are left out."""
    places: list[_Place] = []
    while frame is not None:
        if frame.f_code.co_filename != __file__:
            places.append(_place(frame))
        frame = frame.f_back
    return places[::-1]


def _describe_greenlets(runners: Iterable[tuple[str, Runner]]) -> Iterator[str]:
    for mount, runner in runners:
        groups: dict[tuple[str, tuple[_Place, ...]], list[str]] = {}
        for frame, awaited in paused_jobs(runner):
            alike = groups.setdefault((awaited, tuple(_places_of(frame))), [])
            alike.append(request_of(frame) or "an app")
        largest_first = sorted(groups.items(), key=lambda group: -len(group[1]))
        for (awaited, places), requests in largest_first[:_MOST_STACKS]:
            what = "greenlet" if len(requests) == 1 else f"{len(requests)} greenlets:"
            wait = f", waiting for {awaited[:_MOST_OF_A_NAME]}" if awaited else ", waiting"
            yield f"{what} {_names(requests)} of {mount}{wait}"
            yield from _describe_stack(list(places))
        if len(groups) > _MOST_STACKS:
            yield f"and {pluralize(len(groups) - _MOST_STACKS, 'greenlet')} more"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _describe_tasks() -> Iterator[str]:
    tasks = _every_task()
    groups: dict[tuple[_Place, ...], list[asyncio.Task[Any]]] = {}
    for task in tasks[:_MOST_TASKS]:
        groups.setdefault(tuple(_places_awaited(task.get_coro())), []).append(task)
    largest_first = sorted(groups.items(), key=lambda group: -len(group[1]))
    told = 0
    for places, alike in largest_first[:_MOST_STACKS]:
        told += len(alike)
        names = _names([each.get_name() for each in alike])
        yield f"{'task' if len(alike) == 1 else f'{len(alike)} tasks:'} {names}"
        yield from _describe_stack(list(places))
    if told < len(tasks):
        yield f"and {pluralize(len(tasks) - told, 'task')} more"


def _every_task() -> list[asyncio.Task[Any]]:
    """Return the tasks of this thread's loop, and of the loops of other threads."""
    loops: set[asyncio.AbstractEventLoop]
    if sys.version_info >= (
        3,
        14,
    ):  # each thread keeps its own tasks: asyncio finds those of a loop
        loops = {
            each for each in gc.get_objects() if issubclass(type(each), asyncio.AbstractEventLoop)
        }
    else:
        known = _KNOWN_TASKS.data.copy()  # in one step: other threads begin tasks meanwhile
        loops = {task.get_loop() for reference in known if (task := reference()) is not None}
    return [task for loop in loops for task in asyncio.all_tasks(loop)]


def _places_awaited(awaited: Any) -> Iterator[_Place]:
    """Yield where a task stands: its coroutine, what that awaits, and so on."""
    for _ in range(4 * _MOST_FRAMES):
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield _place(frame)
            after = getattr(awaited, f"{kind}_await", None) or getattr(
                awaited, f"{kind}_yieldfrom", None
            )
            if after is not None:
                break
        else:
            return
        awaited = after


def _place(frame: FrameType) -> _Place:
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname


def _describe_stack(places: list[_Place]) -> Iterator[str]:
    if len(places) > _MOST_FRAMES:
        yield f"  ({pluralize(len(places) - _MOST_FRAMES, 'call')} before)"
    for file, line, function in places[-_MOST_FRAMES:]:
        yield f'  File "{file}", line {line}, in {function}'
        # For "<string>", Python may have the line of another text: of ``python -c``.
        if not file.startswith("<") and (source := linecache.getline(file, line).strip()):
            yield f"    {source}"
