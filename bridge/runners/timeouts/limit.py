"""`timeout_request`: find requests that run for too long, tell of them, and end them (R2).

One timer of the loop looks at the requests of one app, while there are some:

    over time       log where it stands; raise `RequestTimeout` in its code, or end its wait
    `GRACE` later   it still runs: answer for it on the loop, and write its thread off
    from then on    look for the moment to raise it, if there was none (`moments.py`)

The time of a request counts while the app's own code runs, or waits for something. It begins anew
with each piece of the response that was written, so that a stream of events lives on, and one that
hangs is cut. It does not count while a piece is written: how long a client may take for that is
for other limits.

Under the inline and greenlet runners an app may hold the loop itself, with its timer. There a
thread looks, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial, wraps
from typing import Any, Final

from bridge.errors import RequestTimeout
from bridge.log import logger
from bridge.loops.waiters import NativeThread, unpatched
from bridge.runners.base import Runner, set_current_code
from bridge.runners.timeouts.async_raise import RUNS, AppCode
from bridge.runners.timeouts.moments import LATER, NOW, moment_at
from bridge.runners.timeouts.report import Place, calls_of_frame

#: Seconds that a request has to end when its time is over.
GRACE: Final = 1.0
#: The least and the most time between two looks; while one has to end, that time.
_SHORTEST: Final = 0.01
_LONGEST: Final = 1.0
_URGENT: Final = 0.05

#: The call with which an app's code begins.
_OUTERMOST: Final = AppCode.call.__code__
#: What becomes of what cannot be interrupted.
_ANSWERED: Final = "it is answered without its app, which is written off until it ends by itself"
_HOLDS: Final = (
    "it holds the event loop, and so all other requests wait for it, until it ends by itself, or "
    "its process is replaced (timeout_worker, where there are several); run such calls by "
    "bridge.in_thread (--runner greenlet), or the app with --runner thread"
)

_get_ident: Callable[[], int] = unpatched("get_ident")
_sleep: Callable[[float], None] = unpatched("sleep", time)


class TimedRun:
    """One request under a `TimeLimit`, from the call of its app to the end of ``close()``.

    `answer`, called on the loop, answers for an app that does not end: 504, or a cut.
    """

    __slots__ = (
        "_limit",
        "answer",
        "code",
        "given_up",
        "name",
        "over_at",
        "running",
        "since",
        "stuck_at",
        "told",
    )

    def __init__(self, limit: TimeLimit, name: str) -> None:
        self._limit = limit
        #: ``GET '/path'``.
        self.name = name
        self.code = AppCode()
        self.answer: Callable[[RequestTimeout], object] | None = None
        #: The app was called, and has not ended.
        self.running = False
        #: Since when its time counts, by `time.monotonic`.
        self.since = 0.0
        #: When the app was interrupted; when it was first found where it cannot be.
        self.over_at = self.stuck_at = 0.0
        #: Whether it is answered without its app; and whether the log says that it could not be
        #: interrupted.
        self.given_up = self.told = False

    def begin(self) -> None:
        """Begin, in the thread or greenlet in which the app is about to run."""
        self.code.ident = _get_ident()
        self.since = time.monotonic()
        self.running = True
        set_current_code(self.code)
        self._limit.began(self)

    def restart(self) -> None:
        """Count the time anew: a piece of the response was written."""
        self.since = time.monotonic()

    def end(self) -> None:
        """Note that all of the app's code has run."""
        self.running = False
        self._limit.running.discard(self)
        set_current_code(None)
        self.answer = None  # it holds the call, which holds this: a circle


class TimeLimit:
    """Ends the requests of one app that run for longer than `seconds`; `mount` is for the log."""

    def __init__(self, runner: Runner, seconds: float, mount: str = "the app") -> None:
        self.runner = runner
        self.seconds = seconds
        self.mount = mount
        #: All requests whose app has been called, and is not written off; threads change it.
        self.running: set[TimedRun] = set()
        self._tick = min(max(seconds / 10, _SHORTEST), _LONGEST)
        self._timer: asyncio.TimerHandle | None = None
        #: The loop that is served, and its thread.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_thread = 0
        #: Nothing ran at the last look.
        self._was_idle = False
        #: How often the looks have begun; a thread that looks ends with its own.
        self._turn = 0
        runner.timed_out = runner.timed_out or 0

    def serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look on `loop`, in whose thread this is called."""
        if self._loop is not loop:
            self._loop, self._loop_thread, self._timer = loop, _get_ident(), None

    def new_run(self, name: str) -> TimedRun:
        """Make what watches one request, and look from now on. On the loop."""
        if self._timer is None or self._loop is not asyncio.get_running_loop():
            self.serve(asyncio.get_running_loop())
            self._begin_to_look()
        return TimedRun(self, name)

    def began(self, run: TimedRun) -> None:
        """Look at `run` from now on, also if the looks have ended since it was made.

        Either a look that is the last sees it, or it sees that there is none.
        """
        self.running.add(run)
        if self._timer is None and self._loop is not None:
            if _get_ident() == self._loop_thread:
                self._begin_to_look()
            else:
                with suppress(RuntimeError):  # the loop has closed: nobody waits
                    self._loop.call_soon_threadsafe(self._begin_to_look)

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, each call of which is a request, by itself or as a generator.

        `serve` comes before the first call. One that cannot be interrupted is not answered.
        """

        @wraps(function)
        def called(*arguments: Any) -> Any:
            run = TimedRun(self, "a call")
            run.begin()
            try:
                result = run.code.call(function, *arguments)
            finally:
                run.end()
            return _timed_values(run, result) if isinstance(result, Generator) else result

        return called

    # --------------------------------------------------------- on the loop

    def _begin_to_look(self) -> None:
        loop = self._loop
        if self._timer is not None or loop is None:
            return
        self._was_idle = False
        self._turn += 1
        self._timer = loop.call_later(self._tick, self._look)
        if not self.runner.threaded:
            NativeThread(partial(self._watch_loop, loop, self._turn), "bridge-timeouts").start()

    def _look(self) -> None:
        """Look at each request, and come again while there are some."""
        urgent = False
        now = time.monotonic()
        for run in tuple(self.running):
            try:
                urgent |= self._judge(run, now)
            except Exception:
                logger.exception("could not end %s, which takes too long", run.name)
        idle = not self.running and not self.runner.queue
        if idle and self._was_idle:
            self._timer = None
            if self.running:  # one began just before, and saw the timer
                self._begin_to_look()
            return
        self._was_idle = idle
        delay = min(self._tick, _URGENT) if urgent else self._tick
        assert self._loop is not None
        self._timer = self._loop.call_later(delay, self._look)

    def _judge(self, run: TimedRun, now: float) -> bool:
        """Do with `run` what is to be done now; return whether more follows soon."""
        if not run.over_at and not self._interrupt(run, now):
            if run.stuck_at and now - run.stuck_at >= GRACE and run.code.give_up():
                self._answer(run)
            return bool(run.stuck_at) and not run.given_up
        if now - run.over_at < GRACE and not run.given_up:
            return True
        self.running.discard(run)
        self._answer(run)
        return False

    def _answer(self, run: TimedRun) -> None:
        """Answer for `run`, which could not be interrupted, and write its thread off; once."""
        answer, code = run.answer, run.code
        if not run.running or run.given_up:  # it has just ended
            return
        run.given_up = True
        self._tell_stuck(run, _ANSWERED)
        if answer is not None and code.take_answer():
            answer(RequestTimeout())
        self.runner.write_off(code.ident, lambda: run.running)

    # --------------------------------------------------------- on the loop, and in the thread

    def _interrupt(self, run: TimedRun, now: float) -> bool:
        """Interrupt `run` if its time is over, and it may be; whether that was done."""
        code, taken = run.code, now - run.since
        if not code.state or (taken < self.seconds and not run.given_up):
            run.stuck_at = 0.0
            return False
        calls = calls_of_frame(code.frame(), _OUTERMOST)
        has_waited = run.stuck_at and now - run.stuck_at >= GRACE
        least = LATER if has_waited else NOW
        stop = code.interrupt(lambda stack: moment_at(stack, _OUTERMOST) >= least)
        if stop is None:
            run.stuck_at = run.stuck_at or now
            return False
        run.over_at = run.stuck_at or now
        if not run.told:
            place = Place(calls)
            self._count()
            logger.warning(
                "%s of %s has run for %.1f s, longer than timeout_request (%g s), and is ended; "
                "it is at %s\n%s",
                *(run.name, self.mount, taken, self.seconds, place.line, place.stack),
            )
        if _get_ident() == self._loop_thread:
            stop()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(stop)
        return True

    def _count(self) -> None:
        self.runner.timed_out = (self.runner.timed_out or 0) + 1

    def _tell_stuck(self, run: TimedRun, what: str) -> None:
        """Say, once, that `run` could not be interrupted, and `what` becomes of it."""
        if run.told:
            return
        run.told = True
        if not run.over_at:
            self._count()
        place = Place(calls_of_frame(run.code.frame(), _OUTERMOST))
        logger.warning(
            "%s of %s, which has run for longer than timeout_request (%g s), could not be "
            "interrupted within %g s: %s; it is at %s\n%s",
            *(run.name, self.mount, self.seconds, GRACE, what, place.line, place.stack),
        )

    # --------------------------------------------------------- in the thread

    def _watch_loop(self, loop: asyncio.AbstractEventLoop, turn: int) -> None:
        """Look for requests that hold the loop's thread, as long as the loop looks for others."""
        while self._turn == turn and self._timer is not None and not loop.is_closed():
            _sleep(self._tick)
            now = time.monotonic()
            for run in tuple(self.running):
                try:
                    self._judge_holder(run, now)
                except Exception:
                    logger.exception("could not end %s, which holds the event loop", run.name)

    def _judge_holder(self, run: TimedRun, now: float) -> None:
        """Interrupt `run` if it holds the loop; if that cannot be, tell."""
        if not run.over_at and run.code.state == RUNS:
            self._interrupt(run, now)
        since = run.over_at or run.stuck_at
        if since and now - since > 2 * GRACE and run.running and not run.told:
            run.code.give_up()
            self._tell_stuck(run, _HOLDS)  # the loop would have done so, if it could


def _timed_values(run: TimedRun, values: Generator[Any, Any, Any]) -> Iterator[Any]:
    """Yield the values of a generator of the app's; the time counts anew for each."""
    run.begin()
    try:
        while True:
            run.restart()
            try:
                value = run.code.call(next, values)
            except StopIteration:
                return
            yield value
    finally:
        try:
            run.code.call_late(values.close)
        finally:
            run.end()
