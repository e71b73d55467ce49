"""Where a thread may be interrupted, and where that would do harm."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bridge.loops.frames import current_frames
from bridge.runners.timeouts.async_raise import AppCode
from bridge.runners.timeouts.moments import LATER, NEVER, NOW, moment_at, raise_at, take_back
from bridge.runners.timeouts.stack import Stack
from tests.support.waiting import eventually


def here() -> int:
    """The moment in which the caller is."""
    return moment_at(Stack(sys._getframe(1)))


class Stands:
    """A thread that stands in `function`, which is called with an event to wait for."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.outcome: Any = None
        self.thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self.thread.start()
        self.ident = self.thread.ident or 0

    def _run(self, function: Callable[[], object]) -> None:
        try:
            self.outcome = function()
        except BaseException as error:
            self.outcome = error

    def frame(self) -> FrameType | None:
        return current_frames().get(self.ident)

    def stack(self) -> Stack | None:
        frame = self.frame()
        return None if frame is None else Stack(frame)

    def moment(self) -> int:
        return moment_at(self.stack(), Stands._run.__code__)


def test_the_code_of_an_app() -> None:
    """R2: anywhere in its own functions."""
    assert here() == NOW
    assert moment_at(None) == NEVER


def test_locks_that_are_taken_or_given_back() -> None:
    """R2: nothing is raised in a lock's methods, written in Python."""

    class Lock:
        def __enter__(self) -> int:
            return here()

        def __exit__(self, *error: object) -> None: ...

        def acquire(self) -> int:
            return here()

    with Lock() as moment:
        assert moment == NEVER
    assert Lock().acquire() == NEVER


def test_a_lock_that_is_waited_for() -> None:
    """R2: one that is written in C: the exception would come when the thread has got it."""
    lock = threading.Lock()
    lock.acquire()

    def waits() -> None:
        lock.acquire()
        lock.release()

    def waits_with_names() -> None:
        take = lock.acquire
        limit = waits.__name__.__len__() * 100
        take(timeout=limit)
        lock.release()

    def waits_for_a_condition() -> None:
        threading.Event().wait(100)

    first, second = Stands(waits), Stands(lambda: threading.Condition(lock).__enter__())
    third = Stands(waits_for_a_condition)
    forever = Stands(lambda: threading.Event().wait())
    eventually(lambda: (first.moment(), second.moment()) == (NEVER, NEVER))
    eventually(lambda: (third.moment(), forever.moment()) == (LATER, NEVER))
    lock.release()
    first.thread.join(20)
    assert first.outcome is None


def test_clean_ups_have_time() -> None:
    """R2: ``finally`` and ``__exit__``, and what is called there; not what comes before."""
    moments: list[int] = []

    @contextmanager
    def cleans_up() -> Iterator[None]:
        try:
            moments.append(here())
            yield
        finally:
            moments.append(here())

    with cleans_up():
        moments.append(here())
    assert moments == [NOW, NOW, LATER]

    def finally_of(error: bool) -> list[int]:
        seen = []
        try:
            seen.append(here())
            if error:
                raise KeyError
        except KeyError:
            seen.append(here())
        finally:
            try:
                seen.append(here())
            finally:
                seen.append(here())
            seen.append(here())
        seen.append(here())
        return seen

    assert finally_of(error=False) == [NOW, LATER, LATER, LATER, NOW]
    assert finally_of(error=True) == [NOW, NOW, LATER, LATER, LATER, NOW]


def test_finally_in_a_generator() -> None:
    """R2: the same in generators; the whole of one is no clean-up."""

    def pieces() -> Iterator[int]:
        yield here()
        try:
            yield here()
        finally:
            yield here()
        yield from [here() for _ in range(2)]

    assert [*pieces()] == [NOW, NOW, LATER, NOW, NOW]


def test_imports_finalizers_and_logging(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2: a module is never half imported; an error in a finalizer would go nowhere."""
    moments: list[int] = []

    class Ends:
        def __del__(self) -> None:
            look()

    def look() -> None:
        moments.append(here())

    del (ends := [Ends()])[0]
    assert ends == []
    monkeypatch.setattr(sys, "looks_in_import", look, raising=False)
    (tmp_path / "half_imported.py").write_text("import sys\nsys.looks_in_import()\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("half_imported")
    del sys.modules["half_imported"]
    assert moments == [NEVER, NEVER]

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            moments.append(here())
            moments.append(moment_at(Stack(sys._getframe(1))))

    log = logging.Logger("alone")
    log.addHandler(Handler())
    log.warning("x")
    assert moments[2:] == [NOW, NEVER]


def test_calls_outside_of_the_app_do_not_count() -> None:
    """R2: what has called the app may be an import, or a clean-up."""

    def app() -> int:
        return moment_at(Stack(sys._getframe()), AppCode.call.__code__)

    code = AppCode()
    code.ident = threading.get_ident()
    try:
        pass
    finally:
        assert app() == LATER
        assert code.call(app) == NOW


@pytest.mark.parametrize("shape", ["while", "true", "for", "try", "inner"])
def test_a_lock_around_a_loop_is_given_back(shape: str) -> None:
    """R2: in Python 3.13 errors leave ``with`` without its end, from some places of a loop."""
    lock = threading.Lock()
    over = False
    # For what one sees, each jump of these may be the last one: the end of the block comes next.
    least = LATER if shape in ("for", "inner") else NOW

    def works() -> None:
        for _ in range(10000):
            pass

    def holds() -> None:
        if shape == "while":
            with lock:
                while not over:
                    sum(range(10))
        elif shape == "true":
            with lock:
                while True:
                    pass
        elif shape == "for":
            with lock:
                for _ in iter(int, 1):
                    pass
        elif shape == "inner":
            with lock:
                while not over:
                    works()
        else:
            lock.acquire()
            try:
                while not over:
                    sum(range(10))
            finally:
                lock.release()

    def interrupted(stands: Stands) -> bool:
        stack = stands.stack()
        return (
            stack is not None
            and lock.locked()
            and moment_at(stack, Stands._run.__code__) >= least
            and raise_at(stands.ident, stack, KeyError)
        )

    for _ in range(10):
        over = False
        stands = Stands(holds)
        if sys.version_info[:2] == (3, 13) and shape in ("while", "try"):
            assert not any(interrupted(stands) for _ in range(100))
            over = True
        else:
            eventually(partial(interrupted, stands), pause=0.001)
        stands.thread.join(20)
        assert isinstance(stands.outcome, KeyError) is not over
        assert not lock.locked()


def test_a_thread_that_has_gone_on_is_left_alone() -> None:
    """R2: the exception is raised where the thread was seen, or not at all."""
    go_on = threading.Event()

    def spins() -> None:
        while not go_on.is_set():
            pass

    stands = Stands(spins)
    eventually(lambda: stands.frame() is not None)
    other = Stack(sys._getframe())
    assert not raise_at(stands.ident, other, KeyError)
    elsewhere = stands.stack()
    assert elsewhere is not None
    elsewhere.instructions = (-2, *elsewhere.instructions[1:])
    assert not raise_at(stands.ident, elsewhere, KeyError)
    go_on.set()
    stands.thread.join(20)
    assert stands.outcome is None
    assert not raise_at(stands.ident, other, KeyError)


def test_what_is_pending_is_taken_back() -> None:
    """R2: a thread that is in C does not raise what was taken back meanwhile."""

    def sleeps() -> None:
        time.sleep(0.5)

    for taken_back in (True, False):
        stands = Stands(sleeps)

        def interrupted(stands: Stands = stands) -> bool:
            stack = stands.stack()
            is_there = stack is not None and stack.frames[0].f_code is sleeps.__code__
            return is_there and raise_at(stands.ident, stack, KeyError)  # type: ignore[arg-type]

        eventually(interrupted, pause=0.001)
        if taken_back:
            take_back(stands.ident)
        stands.thread.join(20)
        assert isinstance(stands.outcome, KeyError) is not taken_back
