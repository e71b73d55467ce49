"""Where a thread stood, and whether it stands there still."""

from __future__ import annotations

import sys
import threading

import pytest

from bridge.loops.frames import current_frames
from bridge.runners.timeouts.moments import LATER, NOW, moment_at
from bridge.runners.timeouts.stack import Stack
from tests.support.waiting import eventually


def test_a_thread_that_goes_on_and_comes_back() -> None:
    """R2: it stands where it was seen, then elsewhere, then there again; at last it has ended."""
    first, second = threading.Lock(), threading.Lock()
    over = False

    def goes_round() -> None:
        while not over:
            first.acquire()
            second.acquire()

    first.acquire()
    second.acquire()
    thread = threading.Thread(target=goes_round, daemon=True)
    thread.start()
    ident = thread.ident or 0
    eventually(lambda: current_frames()[ident].f_code is goes_round.__code__)
    seen: list[Stack] = []

    def stands() -> bool:
        """Whether it stands for long."""
        seen[:] = [Stack(current_frames()[ident])]
        threading.Event().wait(0.05)
        return next(seen[0].is_still_so(ident))

    eventually(stands)
    (at_first,) = seen
    first.release()
    eventually(lambda: not next(at_first.is_still_so(ident)))
    second.release()
    eventually(lambda: next(at_first.is_still_so(ident)))
    over = True
    first.release()
    second.release()
    thread.join(20)
    with pytest.raises(KeyError):
        next(at_first.is_still_so(ident))


def test_other_callers() -> None:
    """R2: a generator that others go on with stands elsewhere, though its own place is the same."""
    ident = threading.get_ident()
    noted: list[Stack] = []

    def steps() -> None:
        noted.append(Stack(sys._getframe()))

    steps()
    stack = noted[0]
    stack.callers = (sys._getframe(), *stack.callers[1:])
    assert not next(stack.is_still_so(ident))
    stack.callers = (None, *stack.callers[1:])
    assert not next(stack.is_still_so(ident))


def test_a_judgement_is_of_what_was_noted() -> None:
    """R2: a thread that goes on while it is judged is not judged by two places."""
    try:
        noted = Stack(sys._getframe())
        len("")
    finally:
        moments = moment_at(noted), moment_at(Stack(sys._getframe()))
    assert moments == (NOW, LATER)
