"""Exceptions in the app's code of one request, set by another thread: where they go."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from bridge.errors import RequestAnswered, RequestTimeout
from bridge.runners.timeouts.async_raise import (
    RUNS,
    WAITS,
    AppCode,
    release_logging_locks,
)
from bridge.runners.timeouts.moments import LATER, moment_at
from bridge.runners.timeouts.stack import Stack
from tests.support.waiting import eventually

#: How many jobs a stress test interrupts.
MANY = 500


def in_thread(main: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    return thread


def new_code() -> AppCode:
    code = AppCode()
    code.ident = threading.get_ident()
    return code


def forever() -> None:
    while True:
        pass


class Runs:
    """What one call of the app's code came to, in a thread of its own."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.code = AppCode()
        self.outcome: Any = None
        self._function = function
        self.thread = in_thread(self._run)

    def _run(self) -> None:
        self.code.ident = threading.get_ident()
        try:
            self.outcome = self.code.call(self._function, self.code)
        except BaseException as error:
            self.outcome = error

    def interrupt(self) -> None:
        eventually(lambda: self.code.state)
        stop = self.code.interrupt()
        assert stop is not None
        stop()
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_a_loop_is_interrupted() -> None:
    """R2: the exception is raised in code that would run for ever."""
    runs = Runs(lambda code: forever())
    runs.interrupt()
    assert type(runs.outcome) is RequestTimeout
    assert runs.code.state == 0
    assert runs.code.interrupt() is None, "there is one exception for a request"


def test_what_the_app_makes_of_it_does_not_count() -> None:
    """R2: an app that swallows the exception, or raises another one, is over all the same."""

    def swallows(code: AppCode) -> str:
        try:
            forever()
        except BaseException:
            pass
        return "whole"

    def converts(code: AppCode) -> None:
        try:
            forever()
        except RequestTimeout:
            raise ValueError("the app's own") from None

    for function in (swallows, converts):
        runs = Runs(function)
        runs.interrupt()
        assert type(runs.outcome) is RequestTimeout, function


def test_code_of_ours_is_not_interrupted() -> None:
    """R2: nothing is raised while the app calls what writes; then it is."""
    inside, go_on = threading.Event(), threading.Event()
    written = []

    def write(data: bytes) -> None:
        inside.set()
        assert go_on.wait(20)
        written.append(data)

    def app(code: AppCode) -> None:
        code.protected(write, b"x")
        while True:
            code.protected(written.append, b"y")

    runs = Runs(app)
    assert inside.wait(20)
    assert runs.code.state == 0
    assert runs.code.interrupt() is None
    go_on.set()
    eventually(lambda: written)
    stop = None
    while stop is None:
        stop = runs.code.interrupt()
    runs.thread.join(20)
    assert type(runs.outcome) is RequestTimeout
    assert written[0] == b"x"


def test_a_write_after_the_end_is_refused() -> None:
    """R2: an app that swallows the exception writes nothing more."""
    written: list[bytes] = []
    refused = []

    def app(code: AppCode) -> None:
        try:
            forever()
        except RequestTimeout:
            pass
        for _ in range(3):
            with pytest.raises(RequestTimeout):
                code.protected(written.append, b"late")
            refused.append(True)

    runs = Runs(app)
    runs.interrupt()
    assert (written, len(refused)) == ([], 3)


def test_a_thread_of_the_apps_own_writes() -> None:
    """R2: what other threads call is none of the request's time."""
    code = new_code()
    written: list[bytes] = []

    def app() -> None:
        thread = in_thread(lambda: code.protected(written.append, b"x"))
        thread.join(20)
        assert code.state == RUNS

    code.call(app)
    assert written == [b"x"]


def test_a_wait_is_ended_and_not_interrupted() -> None:
    """R2: an app that waits for the loop has its wait ended; that raises the error."""
    gate = threading.Event()

    def app(code: AppCode) -> bool:
        return code.wait(lambda: gate.wait(20), gate.set)

    runs = Runs(app)
    eventually(lambda: runs.code.state == WAITS)
    runs.interrupt()
    assert gate.is_set()
    assert type(runs.outcome) is RequestTimeout
    # Elsewhere than in the app's code, a wait is a plain one.
    assert runs.code.wait(lambda: 5, lambda: None) == 5


def test_a_wait_that_ends_by_itself() -> None:
    """R2: a wait that nobody ends returns what it waited for, and the app goes on."""
    code = new_code()

    def app() -> tuple[int, int]:
        return code.wait(lambda: code.state, lambda: None), code.state

    assert code.call(app) == (WAITS, RUNS)


def test_the_end_may_run_on() -> None:
    """R2: what an app does at its end, when its time was over, is called and not limited."""
    closed = []
    code = new_code()
    code.call_late(lambda: closed.append("in time"))
    runs = Runs(lambda code: forever())
    runs.interrupt()
    runs.code.call_late(lambda: closed.append("late"))
    assert closed == ["in time", "late"]
    assert runs.code.state == 0


def test_one_side_answers() -> None:
    """R2: if another thread has answered, the app's thread learns of that, and answers no more."""
    answered = []

    def app(code: AppCode) -> None:
        try:
            forever()
        except RequestTimeout:
            answered.append(code.take_answer())
            raise

    runs = Runs(app)
    runs.interrupt()
    assert answered == [True]
    assert type(runs.outcome) is RequestAnswered
    assert not runs.code.take_answer()


def test_a_request_that_is_given_up() -> None:
    """R2: one that cannot be interrupted where it is ends when it leaves the app's code."""
    gate = threading.Event()
    runs = Runs(lambda code: gate.wait(20))
    eventually(lambda: runs.code.state)
    assert runs.code.interrupt(lambda frame: False) is None
    assert not runs.code.over
    assert runs.code.give_up()
    gate.set()
    runs.thread.join(20)
    assert type(runs.outcome) is RequestTimeout
    assert not runs.code.give_up()


def test_a_request_that_is_given_up_and_interrupted_later() -> None:
    """R2: the exception comes when the right moment does; what it still writes is refused."""
    gate = threading.Event()
    refused = []

    def app(code: AppCode) -> None:
        gate.wait(20)
        try:
            code.protected(refused.append, False)
        except RequestTimeout:
            refused.append(True)

    runs = Runs(app)
    eventually(lambda: runs.code.state)
    assert runs.code.give_up()
    gate.set()
    runs.thread.join(20)
    assert refused == [True]
    assert type(runs.outcome) is RequestTimeout
    assert runs.code.interrupt() is None, "it has left, and stays so"

    again = Runs(lambda code: forever())
    eventually(lambda: again.code.state)
    assert again.code.give_up()
    assert again.code.take_answer()
    again.interrupt()
    assert type(again.outcome) is RequestAnswered


# One may be raised in a weak reference's callback, which cannot raise; the job ends all the same.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_jobs_that_end_just_as_their_time_comes() -> None:
    """R2: thousands of jobs end as they are interrupted; each ends once, no other is hit."""
    current: list[AppCode] = []
    ended: list[bool] = []
    outcomes = {"whole": 0, "over": 0}
    interrupted = 0
    log = logging.getLogger("tests.timeouts")
    log.propagate = False
    log.addHandler(handler := logging.NullHandler())
    handler.level = 0
    lock = threading.Lock()
    handled: list[int] = []
    handler.handle = lambda record: handled.append(1) or True  # type: ignore[assignment,func-returns-value]

    def app(code: AppCode, number: int) -> int:
        with lock:
            total = sum(map(int, range(number % 50)))
        log.warning("%d", total)
        code.protected(handled.clear)
        return number

    def work() -> None:
        deadline = time.monotonic() + 20
        while outcomes["over"] < MANY and time.monotonic() < deadline:
            number = sum(outcomes.values())
            code = new_code()
            current[:] = [code]
            try:
                assert code.call(app, code, number) == number
                outcomes["whole"] += 1
            except RequestTimeout:
                outcomes["over"] += 1
            # The pool's own code: an exception that came late would end this thread.
            assert code.state == 0
            assert sum(range(20)) == 190
        ended.append(True)

    def may_raise(stack: Stack) -> bool:
        # From Python 3.14 on an error may leave a lock taken if it comes as `with` takes it.
        return sys.version_info < (3, 14) or moment_at(stack, AppCode.call.__code__) >= LATER

    before, _ = sys.getswitchinterval(), sys.setswitchinterval(0.00001)
    try:
        thread = in_thread(work)
        while thread.is_alive():
            if current and current[0].interrupt(may_raise) is not None:
                interrupted += 1
    finally:
        sys.setswitchinterval(before)
    assert ended == [True], "the thread has died"
    assert outcomes["over"] == interrupted
    assert interrupted
    assert lock.acquire(timeout=1), "a lock stayed held"
    log.removeHandler(handler)


def test_locks_of_logging_are_given_back() -> None:
    """R2: a thread that was interrupted while it logged does not stop the log of all others."""
    handler = logging.StreamHandler()
    assert handler.lock is not None
    handler.acquire()
    handler.acquire()
    free: list[bool] = []

    def look() -> None:
        assert handler.lock is not None
        free.append(handler.lock.acquire(blocking=False))
        if free[-1]:
            handler.lock.release()

    in_thread(look).join(20)
    release_logging_locks()
    in_thread(look).join(20)
    assert free == [False, True]


def test_it_tells_where_it_stands() -> None:
    """R2: the innermost call is that of its thread, or what it says itself while it waits."""
    runs = Runs(lambda code: time.sleep(0.2))
    eventually(lambda: runs.code.state)
    frame = runs.code.frame()
    assert frame is not None
    runs.thread.join(20)
    code, here = new_code(), sys._getframe()
    assert code.call(lambda: code.wait(code.frame, lambda: None, lambda: here)) is here
