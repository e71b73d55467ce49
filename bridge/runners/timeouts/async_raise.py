"""Raise an exception in another thread, but only in the app's code of one request (R2).

``PyThreadState_SetAsyncExc`` sets an exception for a thread, which is raised in it later: before
one of its next bytecodes, or when the C call that it is in returns. It must not hit the pool, the
code that writes responses, or the next request of that thread. So the right to set it is a mark,
which is there while the app's own code runs:

    the app's thread:    append the mark -> app ... app -> pop the mark -> our own code
    the other thread:    pop the mark, set the exception, say so (`_settled`)
                         or, if this is no moment for that: append the mark again

`list.pop` is one step, so just one of them gets the mark. If it is the app's thread, nothing will
be set any more, and nothing is pending. If it is the other, the app's thread finds no mark when it
leaves the app's code; it waits (some microseconds) until the other has done all, and takes the mark
if it is there again, or takes back an exception that is still pending. Nothing can come after that.
This holds although the exception may be raised before any bytecode of that very code:

- There is one mark and so one exception for a request, never a second one.
- `call` holds two nested ``try``. The exception may break off the inner handler, which cleans up;
  then it has been raised, and the outer handler cannot be broken off any more.
- Between ``append`` and the app, and between the app and ``pop``, it is raised inside the inner
  ``try``. After ``pop`` it cannot be pending.
- An object that the app returned may be lost if the exception is raised in the moment of the
  return; then its ``close()`` is not called. That is the app's side of the mark.
- An exception in a finalizer or in the callback of a weak reference goes nowhere (Python prints
  it). Then the request ends when it leaves the app's code, and is written off if it does not.

What the app's code calls of ours (``write``, ``start_response``) is `protected`: the mark is away
meanwhile. A wait for the loop has another mark: nothing is raised in it, the wait is ended instead.

Code of libraries cannot be protected so: `moments.py` says when an exception would do harm there.
If no moment is the right one for long, the request is given up: it is over, and answered by another
thread. The exception comes when the right moment does, or its code is left before that. A thread
that was interrupted gives back the locks of logging that it still holds (`release_logging_locks`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, TypeVar

from bridge.errors import RequestAnswered, RequestTimeout
from bridge.loops.frames import current_frames
from bridge.loops.waiters import unpatched
from bridge.runners.timeouts.moments import raise_at, take_back
from bridge.runners.timeouts.stack import Stack

T = TypeVar("T")

#: What the mark says: the app's code runs, or waits for the loop.
RUNS: Final = 1
WAITS: Final = 2

#: How often a thread is looked at that goes on between the look and the exception.
_TRIES: Final = 10
#: Seconds that a thread waits for the other one, which takes some microseconds.
_PATIENCE: Final = 5.0

_get_ident: Callable[[], int] = unpatched("get_ident")


def release_logging_locks() -> None:
    """Give back the locks of logging that this thread still holds, though it logs nothing."""
    locks = [getattr(logging, "_lock", None)]
    locks += [getattr(each(), "lock", None) for each in tuple(getattr(logging, "_handlerList", ()))]
    for lock in locks:
        is_owned = getattr(lock, "_is_owned", None)
        while is_owned is not None and is_owned():
            lock.release()  # type: ignore[union-attr]


def _anywhere(stack: Stack) -> bool:
    return True


class AppCode:
    """The app's code of one request: where it runs now, and whether it may be interrupted."""

    __slots__ = (
        *("_answer", "_frame", "_marks", "_settled", "_stop_wait"),
        *("ident", "inside", "over", "spent"),
    )

    def __init__(self) -> None:
        self._marks: list[int] = []
        #: The right to answer, once the time is over; one element, until somebody takes it.
        self._answer = [True]
        #: The thread in which it runs.
        self.ident = 0
        #: In its thread: whether the app's code runs now, and not what it has called of ours.
        self.inside = False
        #: The request's time is over. And the mark is taken for it, and all that follows is done.
        self.over = False
        self._settled = False
        #: In its thread: it knows that, and nothing is pending.
        self.spent = False
        #: While it waits: what ends the wait, and where it stands if that is no thread.
        self._stop_wait: Callable[[], object]
        self._frame: Callable[[], FrameType | None] | None = None

    # --------------------------------------------------------- in the app's thread

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return ``function(*arguments)``, which is the app's code.

        Raises `RequestTimeout` if the time was over meanwhile, whatever the app has made of that;
        `RequestAnswered` if another thread has answered by now.
        """
        try:
            try:
                self._enter()
                result = function(*arguments)
                self._leave()
            except BaseException:
                self._leave_for_good()
                raise
        except BaseException as error:
            if not self.over:
                raise
            self.spent, self.inside = True, False  # nothing can come any more, see above
            release_logging_locks()
            raise self._verdict() from error
        return result

    def call_late(self, function: Callable[[], object]) -> None:
        """Call what the app has to call at its end; when the time is over, without a limit."""
        if self.spent:
            function()
        else:
            self.call(function)

    def protected(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return ``function(*arguments)``, which is code of ours that the app calls.

        Raises `RequestTimeout` instead if the time is over.
        """
        if _get_ident() != self.ident:  # a thread of the app's
            return function(*arguments)
        if self.spent:
            raise RequestTimeout
        self._leave()
        try:
            return function(*arguments)
        finally:
            self._enter()

    def wait(
        self,
        function: Callable[[], T],
        stop: Callable[[], object],
        frame: Callable[[], FrameType | None] | None = None,
    ) -> T:
        """Return ``function()``, which waits; `stop`, called on the loop, ends the wait.

        `frame` gives the innermost call meanwhile, if it has left its thread. Raises
        `RequestTimeout` if it was stopped.
        """
        if not self.inside or self.spent or _get_ident() != self.ident:
            return function()
        self._leave()
        self._stop_wait, self._frame = stop, frame
        self._marks.append(WAITS)
        try:
            return function()
        finally:
            self._leave()
            self._frame = None
            self._enter()

    def _enter(self) -> None:
        if not self.spent:
            self.inside = True
            self._marks.append(RUNS)

    def _leave(self) -> None:
        """Leave the app's code. Raises `RequestTimeout` if the time is over."""
        self._take_mark()
        if self.over:
            self.spent = True
            raise RequestTimeout

    def _leave_for_good(self) -> None:
        """Leave the app's code, which has raised something."""
        if self.inside and not self.spent:
            self._take_mark()

    def _take_mark(self) -> None:
        """Take the mark, or take back the exception that another thread has set for it."""
        try:
            self._marks.pop()
        except IndexError:
            self._await_mark()
        self.inside = False

    def _await_mark(self) -> None:
        """Wait for what the thread that has the mark does with it."""
        deadline = time.monotonic() + _PATIENCE
        while not self._settled and time.monotonic() < deadline:
            if self._marks:
                with suppress(IndexError):  # it has it again
                    self._marks.pop()
                    return
            time.sleep(0.0001)
        take_back(self.ident)

    def _verdict(self) -> Exception:
        """Return what the request ends with, in its thread."""
        if self.take_answer():
            return RequestTimeout()
        return RequestAnswered("the request was answered when its time was over")

    # --------------------------------------------------------- from another thread

    @property
    def state(self) -> int:
        """`RUNS`, `WAITS`, or 0: what runs is not the app's code, or its time is over."""
        try:
            return self._marks[0]
        except IndexError:
            return 0

    def frame(self) -> FrameType | None:
        """Return the innermost call."""
        frame = self._frame
        found = None if frame is None else frame()
        return found or current_frames().get(self.ident)

    def interrupt(
        self, may_raise: Callable[[Stack], bool] = _anywhere
    ) -> Callable[[], object] | None:
        """End the request; None if the app's code does not run, or this is not the moment.

        Returns what is still to be done on the loop. `may_raise` says whether the exception may be
        raised in the thread while it stands there.
        """
        try:
            mark = self._marks.pop()
        except IndexError:
            return None
        was_over, self.over = self.over, True
        done = False
        try:
            done = mark == WAITS or self._raise(may_raise)
        finally:
            if done:
                self._settled = True
            else:
                self.over = was_over
                self._marks.append(mark)
        if not done:
            return None
        return self._stop_wait if mark == WAITS else _done

    def _raise(self, may_raise: Callable[[Stack], bool]) -> bool:
        for _ in range(_TRIES):
            frame = self.frame()
            if frame is None:
                return False
            stack = Stack(frame)
            if not may_raise(stack):
                return False
            if raise_at(self.ident, stack, RequestTimeout):
                return True
        return False

    def give_up(self) -> bool:
        """Let the request be over, though its code still runs; False if it does not.

        It may be interrupted later. It ends when it leaves the app's code.
        """
        try:
            mark = self._marks.pop()
        except IndexError:
            return False
        self.over = True
        self._marks.append(mark)
        return True

    def take_answer(self) -> bool:
        """Take the right to answer; False if it is taken."""
        try:
            self._answer.pop()
        except IndexError:
            return False
        return True


def _done() -> None:
    """Nothing is left to be done."""
