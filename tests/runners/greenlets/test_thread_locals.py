"""`threading.local` in each greenlet: the part that is written in C."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from greenlet import getcurrent, greenlet

from bridge.runners.greenlets.thread_locals import ThreadLocals

early = threading.local()


def test_apart() -> None:
    """G7: greenlets of one thread, and the thread itself, each have values of their own."""
    main = getcurrent()

    def body(number: int) -> None:
        assert not hasattr(early, "value")
        early.value = number
        for _ in range(10):
            main.switch()
            assert early.value == number

    early.value = "main"
    both = [(greenlet(body), ThreadLocals()) for _ in range(20)]
    for number, (each, values) in enumerate(both):
        values.call(each.switch, number)
    for _ in range(10):
        for each, values in both:
            values.call(each.switch)
            assert early.value == "main"
    assert all(each.dead for each, _ in both)
    del early.value


def test_objects_that_end_meanwhile() -> None:
    """G7: a new object at the address of an old one sees nothing of that one's values."""
    main = getcurrent()

    def body(number: int) -> None:
        for turn in range(100):
            mine = [threading.local() for _ in range(3)]
            for each in mine:
                assert vars(each) == {}
                each.value = number, turn
            main.switch(mine)
            assert [each.value for each in mine] == [(number, turn)] * 3

    both = [(greenlet(body), ThreadLocals()) for _ in range(20)]
    for number, (each, values) in enumerate(both):
        values.call(each.switch, number)
    while not both[0][0].dead:
        for each, values in both:
            here = [threading.local() for _ in range(3)]
            for fresh in here:
                assert vars(fresh) == {}
                fresh.value = "here"
            values.call(each.switch)
            assert [fresh.value for fresh in here] == ["here"] * 3


def test_values_are_freed() -> None:
    """G7: what a greenlet has kept goes when its values do."""

    class Value:
        pass

    def keep(value: Value) -> None:
        early.kept = value

    values, value = ThreadLocals(), Value()
    values.call(keep, value)
    gone = weakref.ref(value)
    del value
    assert gone() is not None
    del values
    gc.collect()
    assert gone() is None


def test_call() -> None:
    """G7: a call returns and raises what the function does, and restores the thread's values."""
    early.value = "main"
    values = ThreadLocals()
    assert values.call(max, 3, 5) == 5
    with pytest.raises(ZeroDivisionError):
        values.call(divmod, 1, 0)
    assert early.value == "main"
    with pytest.raises(TypeError, match="takes a callable"):
        values.call()  # type: ignore[call-arg]
    del early.value
