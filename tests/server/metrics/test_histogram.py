"""Meters: what C counts is what Python counts, in any thread (O2)."""

from __future__ import annotations

import threading
import time
from time import perf_counter
from typing import Any

import pytest

from bridge import accelerator
from bridge.server.metrics.histogram import (
    DURATIONS,
    Histogram,
    PythonMeter,
    new_meter,
    read_clock,
)
from tests.support import compiled


@pytest.fixture(params=["python", "c"])
def kind(request: pytest.FixtureRequest) -> Any:
    return PythonMeter if request.param == "python" else compiled.speedups().Meter


def test_a_histogram() -> None:
    """O2: a value that equals a bound is in the bucket below it."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.5):
        histogram.add(value)
    assert (histogram.counts, histogram.sum) == ([2, 2, 1], 7.0)


def test_a_meter(kind: Any) -> None:
    """O2: durations by bucket with their sum, and requests by class, also of odd statuses."""
    meter = kind((1.0, 100.0))
    now = perf_counter()
    for status in (101, 200, 204, 304, 404, 500, 599, 999, -7, 0):
        meter.record(now, status)
    meter.record(now - 10, 200)
    meter.since(now - 1000)
    meter.since(now + 1000)  # a clock that was late
    counts, total, classes = meter.read()
    assert counts == [11, 1, 1]
    assert 1010 <= total < 1010 + 60
    assert classes == [2, 1, 3, 1, 1, 3]
    assert meter.read() == (counts, total, classes)


def test_nothing_is_lost(kind: Any) -> None:
    """O2: threads count at the same time, while somebody reads."""
    meter = kind(DURATIONS)
    each, threads = 10_000, 4
    go = threading.Barrier(threads + 1)

    def work() -> None:
        go.wait()
        for _ in range(each):
            meter.record(perf_counter(), 200)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    go.wait()
    last = 0
    while any(thread.is_alive() for thread in running):
        counts, _, classes = meter.read()
        assert sum(counts) >= last
        assert sum(counts) == classes[2]
        last = sum(counts)
    counts, _, classes = meter.read()
    assert sum(counts) == sum(classes) == classes[2] == each * threads


def test_wrong_arguments_in_c() -> None:
    """O2: what no caller passes is an error, and counts nothing."""
    speedups = compiled.speedups()
    meter = speedups.Meter((1.0,))
    wrong: tuple[tuple[Any, ...], ...] = ((), (1.0,), (1, 200), (1.0, "200"), (1.0, 200, 3))
    for arguments in wrong:
        with pytest.raises(TypeError):
            meter.record(*arguments)
    with pytest.raises(OverflowError):
        meter.record(1.0, 10**30)
    with pytest.raises(TypeError):
        meter.since(1)
    with pytest.raises(TypeError):
        speedups.read_clock(1)
    for bounds in ([1.0], ("x",)):
        with pytest.raises(TypeError):
            speedups.Meter(bounds)
    with pytest.raises(ValueError, match="at most 24 bounds"):
        speedups.Meter((1.0,) * 25)
    assert meter.read() == ([0, 0], 0.0, [0] * 6)


def test_one_clock() -> None:
    """O2: the clock is that of `time.perf_counter`, in C as well."""
    for clock in (read_clock, compiled.speedups().read_clock):
        for _ in range(300):  # in C it counts cycles after the first tenths of a second
            before = perf_counter()
            now = clock()
            assert before - 1e-4 <= now <= perf_counter() + 1e-4
            time.sleep(0.005)


def test_the_clock_goes_on() -> None:
    """O2: it is never set back by more than some microseconds, in any thread, at whatever pace."""
    clock = compiled.speedups().read_clock
    backward: list[float] = []

    def watch() -> None:
        last, until = clock(), perf_counter() + 2.5  # it is set once a second
        while last < until:
            now = clock()
            backward.append(last - now)
            last = now

    threads = [threading.Thread(target=watch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(backward) < 1e-4


def test_c_if_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """O2: without the accelerator the meter is Python's."""
    monkeypatch.setattr(accelerator, "Meter", None)
    assert type(new_meter()) is PythonMeter
    monkeypatch.setattr(accelerator, "Meter", compiled.speedups().Meter)
    assert type(new_meter((1.0,))) is compiled.speedups().Meter
