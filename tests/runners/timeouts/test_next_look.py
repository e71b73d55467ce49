"""Where a thread raises what is set for it, and which clean-ups wait there."""

from __future__ import annotations

import dis
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

import pytest

from bridge.errors import RequestAnswered, RequestTimeout
from bridge.runners.timeouts.async_raise import AppCode
from bridge.runners.timeouts.moments import NOW, moment_at
from bridge.runners.timeouts.next_look import (
    BAD,
    GOOD,
    HARM,
    LOOKS_ONCE,
    RETURNS,
    next_look,
    ways_from,
)
from bridge.runners.timeouts.stack import Stack
from tests.support.waiting import eventually

only_here = pytest.mark.skipif(not LOOKS_ONCE, reason="this Python looks again")

MARK: Any = None
lock: Any = None
first: Any = None
second: Any = None


def nothing(code: CodeType, instruction: int) -> int:
    return GOOD


def at_mark(
    function: Callable[..., object], judge: Callable[[CodeType, int], int] = nothing
) -> int:
    """What comes after the call of MARK in a function."""
    found = None
    for each in dis.get_instructions(function):
        if each.opname.startswith("LOAD_GLOBAL") and each.argval == "MARK":
            found = each.offset
        elif found is not None and each.opname == "CALL":
            return ways_from(function.__code__, each.offset, judge)
    raise AssertionError("no call of MARK")


def within_with() -> None:
    with lock:
        MARK()
        first()


def at_the_end_of_with() -> None:
    with lock:
        MARK()


def at_the_end_of_try() -> None:
    try:
        MARK()
    finally:
        first()


def before_except() -> None:
    try:
        MARK()
    except first.Error:
        second()
    except (KeyError, OSError):
        second()
    second()


def before_except_for_all() -> None:
    try:
        MARK()
    except:
        first()
        raise
    second()


def inner_try() -> None:
    with lock:
        MARK()
        try:
            first()
        except KeyError:
            second()


def after_inner_try() -> None:
    with lock:
        try:
            MARK()
        except KeyError:
            second()
        first()


def in_a_loop() -> None:
    with lock:
        while MARK():
            first()


def in_an_endless_loop() -> None:
    with lock:
        for _ in first():
            MARK()


def at_a_branch() -> None:
    with lock:
        if MARK():
            first()
        second()


def at_a_bad_branch() -> None:
    with lock:
        if MARK():
            first()


def that_raises() -> None:
    raise MARK()


def that_returns() -> object:
    return MARK()


def that_may_return() -> object:
    if MARK():
        return 1
    return first()


def that_yields() -> Iterator[int]:
    try:
        MARK()
        yield 1
    finally:
        first()


@only_here
@pytest.mark.parametrize(
    ("function", "ways"),
    [
        (within_with, GOOD),
        (at_the_end_of_with, BAD),
        (at_the_end_of_try, BAD),
        (before_except, GOOD),
        (before_except_for_all, BAD),
        (inner_try, GOOD),
        (after_inner_try, GOOD),
        (in_a_loop, BAD),  # it may be over
        (in_an_endless_loop, GOOD),
        (at_a_branch, GOOD),
        (at_a_bad_branch, BAD),
        (that_raises, BAD),
        (that_returns, RETURNS),
        (that_may_return, RETURNS),
        (that_yields, RETURNS),
    ],
)
def test_the_ways_from_a_call(function: Callable[..., object], ways: int) -> None:
    """R2: on each of them the same ``finally`` and ``with`` have to wait."""
    assert at_mark(function) == ways


@only_here
def test_calls_that_are_left_alone() -> None:
    """R2: a look that comes after a lock was taken would leave it taken; that is the worst."""
    assert at_mark(within_with, lambda code, at: HARM) == HARM
    assert at_mark(that_may_return, lambda code, at: HARM) == HARM
    assert at_mark(at_the_end_of_with, lambda code, at: HARM) == HARM
    assert at_mark(within_with, lambda code, at: BAD) == BAD
    assert ways_from(within_with.__code__, 10_000, nothing) == GOOD  # nowhere


@only_here
def test_the_callers_count_when_a_function_ends() -> None:
    """R2: what it returns to may be the end of a block; but not beyond the app's own code."""
    found = []
    outside = sys._getframe().f_code

    def look() -> None:
        found.append(next_look(Stack(sys._getframe(1)), outside, nothing))

    def inner() -> None:
        look()

    def outer() -> None:
        try:
            inner()
            inner()
        finally:
            len("")

    outer()
    assert found == [GOOD, BAD]
    inner_only = next_look(Stack(sys._getframe()), sys._getframe().f_code, nothing)
    assert inner_only == GOOD


class PythonLock:
    """A lock whose methods are written in Python, as those of patched locks are."""

    def __init__(self) -> None:
        self.real = threading.Lock()

    def __enter__(self) -> None:
        self.real.acquire()

    def __exit__(self, *error: object) -> None:
        self.real.release()


def by_with(own: PythonLock) -> None:
    while True:
        with own:
            sum(range(10))


def by_try(own: PythonLock) -> None:
    while True:
        own.__enter__()
        try:
            sum(range(10))
        finally:
            own.__exit__()


def by_generator(own: PythonLock) -> None:
    @contextmanager
    def holding() -> Iterator[None]:
        own.__enter__()
        try:
            yield
        finally:
            own.__exit__()

    while True:
        with holding():
            sum(range(10))


def is_moment(stack: Stack) -> bool:
    return moment_at(stack, AppCode.call.__code__) >= NOW


@pytest.mark.parametrize("app", [by_with, by_try, by_generator])
def test_locks_are_given_back(app: Callable[[PythonLock], None]) -> None:
    """R2: wherever the thread stands at the look; half of these were left before that."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(40):
            own, code = PythonLock(), AppCode()

            def run(own: PythonLock = own, code: AppCode = code) -> None:
                code.ident = threading.get_ident()
                with pytest.raises((RequestTimeout, RequestAnswered)):
                    code.call(app, own)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            eventually(lambda code=code: code.state, pause=0)  # type: ignore[misc]
            eventually(lambda code=code: code.interrupt(is_moment), pause=0)  # type: ignore[misc]
            thread.join(20)
            assert not thread.is_alive()
            assert not own.real.locked()
    finally:
        sys.setswitchinterval(before)
