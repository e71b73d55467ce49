"""The interface of a runner: how synchronous code runs, whatever it runs in (W50-W53).

A runner is given a job and runs it: at once, in a greenlet, or in a thread. A job that runs may
`wait` for an awaitable on the loop if its runner can do that. `await_` is the same for apps,
which do not know their runner.
"""

from __future__ import annotations

import abc
import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from types import FrameType
from typing import Any, NamedTuple, Protocol, TypeVar

from bridge.errors import BridgeError, ClientDisconnected, WaitNotPossible
from bridge.loops.tasks import close_unawaited
from bridge.types import Address

T = TypeVar("T")

#: Seconds that jobs which are interrupted at the end have to clean up.
CANCEL_GRACE = 1.0


class Job(Protocol):
    """What a runner runs: called once, or again after a pause that its sink asked for.

    It never raises, and returns False when it pauses, which only the inline runner's jobs do.
    """

    #: When it was queued, in seconds of the loop's time. Set by the thread runner.
    queued_at: float

    @property
    def peer(self) -> Address | None:
        """The address and port of its client's end of the connection; None if not known."""

    @property
    def streams(self) -> bool:
        """Whether its response has begun to leave, and did not come as a whole (R1)."""

    def on_long_wait(self) -> None:
        """Find out whether its client is still there: it has waited for a thread for long."""

    def __call__(self) -> bool:
        """Run, in one thread or greenlet and in one context from beginning to end."""

    def refuse(self, error: BridgeError) -> None:
        """Answer with `error` instead of running. Called on the loop's thread."""


class Stats(NamedTuple):
    """A runner's figures at one moment (W52)."""

    busy: int  #: jobs that run now, in the pool if there is one
    idle: int  #: threads or greenlets that wait for work
    queued: int  #: jobs that wait
    oldest_wait: float  #: seconds that the first of these has waited, to the millisecond
    served: int  #: jobs run so far
    rejected: int  #: jobs refused: the queue was full, they waited too long, or for themselves
    streams: int = 0  #: responses that stream in threads beside the pool (R1); not among `busy`
    timed_out: int = 0  #: jobs ended since they took longer than `timeout_request` (R2)
    written_off: int = 0  #: threads that could not be interrupted then, and have not ended yet


class Runner(abc.ABC):
    """How synchronous code runs. Every method but `wait` is called on the loop's thread."""

    #: Whether two jobs of one app can run at the same time (``wsgi.multithread``).
    multithread: bool
    #: Whether jobs run in other threads than the loop's.
    threaded = False
    #: The jobs that wait for a thread; always empty in runners without threads.
    queue: Collection[Any] = ()
    #: Whether `wait` works; if not, a job has all its input before it starts.
    can_wait: bool
    #: How many of its jobs were ended by their time limit (R2); None: none has one.
    timed_out: int | None = None

    @abc.abstractmethod
    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve `loop` from now on; harmless if it does so already."""

    @abc.abstractmethod
    def submit(self, job: Job) -> None:
        """Run `job`, now or soon. Raises `Overloaded` or `SelfRequest` if it cannot."""

    async def run(self, job: Job) -> None:
        """`submit`, and return when the job is over or has paused. Not for runners with threads.

        A runner that can wait does so in the current task: cancelling it cancels the job.
        """
        self.submit(job)

    @abc.abstractmethod
    def wait(self, awaitable: Awaitable[T]) -> T:
        """From inside a job: run `awaitable` on the loop, and return or raise what it does.

        Raises `WaitNotPossible` if that cannot be.
        """

    def app_loop(self) -> asyncio.AbstractEventLoop | None:
        """Return the loop that a job in this thread may use; None if there is no such job."""
        return None

    def in_greenlet(self) -> bool:
        """Whether the caller is a job that waits by switching to the loop of its own thread."""
        return False

    @abc.abstractmethod
    async def stop(self, timeout: float | None = None) -> bool:
        """Refuse what is queued, and wait for what runs; False if some of it did not end in time.

        `timeout` is in seconds; None: wait as long as it takes. Jobs that then wait for the loop
        are interrupted, and have `CANCEL_GRACE` to end. A stopped runner can be started again.
        """

    @abc.abstractmethod
    def stats(self) -> Stats:
        """Return the figures of this moment; from any thread."""

    def call_with_waits(self, function: Callable[[float], object]) -> None:
        """Have `function` called when a job begins, with its `queued_at`, in the job's thread.

        Before the first job; runners without a queue call nothing.
        """
        return

    def interrupt(self, job: Job, reason: ClientDisconnected) -> None:
        """Raise `reason` in `job` when it waits for the loop, if the runner can do that (G4)."""
        return

    def withdraw(self, job: Job) -> bool:
        """Take back a `job` that has not begun, because its client has left. False if it has."""
        return False

    def write_off(self, thread: int, runs: Callable[[], bool]) -> None:
        """Count the thread no more in which a job runs that cannot be interrupted (R2).

        `runs` says whether it still does.
        """
        return

    def cancel(self, job: Any) -> None:
        """Give up a `job` that has paused (inline runner): it closes what it has open."""
        job.cancel()


class TimedCode(Protocol):
    """The app's code of a job that has a time limit (`timeouts.async_raise.AppCode`)."""

    def wait(
        self,
        function: Callable[[], T],
        stop: Callable[[], object],
        frame: Callable[[], FrameType | None] | None = None,
    ) -> T:
        """Return ``function()``, which waits until `stop` is called at the latest."""


class _Current(threading.local):
    runner: Runner | None = None
    code: TimedCode | None = None


_current = _Current()


def current_runner() -> Runner | None:
    """Return the runner whose jobs run in this thread."""
    return _current.runner


def set_current_runner(runner: Runner | None) -> None:
    """Say that jobs of `runner` run in this thread from now on."""
    _current.runner = runner


def current_code() -> TimedCode | None:
    """Return the code that runs in this thread or greenlet, if it has a time limit."""
    return _current.code


def set_current_code(code: TimedCode | None) -> None:
    """Say which code with a time limit runs in this thread or greenlet; None: it has ended."""
    _current.code = code


#: The runners that hold a thread for the request that runs in this context, or for one that
#: waits for it: if these have no thread left, one more job would wait for ever (W53).
occupied_runners: ContextVar[tuple[Runner, ...]] = ContextVar("bridge.occupied_runners", default=())


def await_(awaitable: Awaitable[T]) -> T:
    """Run `awaitable` on the server's event loop, from synchronous code that runs under the bridge.

    Returns its result, or raises what it raises. The awaitable may be a coroutine, a future or a
    task of that loop; a coroutine runs in a copy of the caller's context. If the wait is given up
    (the client leaves a greenlet, the server stops), a coroutine is cancelled; a future or task is
    the app's own, and goes on. Raises `WaitNotPossible` in code that no thread or greenlet runner
    runs.
    """
    runner = current_runner()
    if runner is None:
        close_unawaited(awaitable)
        raise WaitNotPossible(
            "await_() works in a WSGI app that runs under the thread or greenlet runner, in the "
            "thread that runs it; use `await` in async code, and --runner thread instead of inline"
        )
    return runner.wait(awaitable)
