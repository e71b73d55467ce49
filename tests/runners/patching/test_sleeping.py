"""`time.sleep` in greenlets."""

from __future__ import annotations

import asyncio
import threading
import time
from fractions import Fraction
from time import sleep
from typing import Any

import pytest

from bridge.errors import RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.patching import sleeping
from tests.runners.jobs import Call, run_with


def test_side_by_side() -> None:
    """G6: greenlets that sleep do so side by side, by a name that was imported before, too."""

    async def main(runner: Runner) -> None:
        begin = time.monotonic()
        jobs = [lambda: time.sleep(0.5), lambda: sleep(0.5), lambda: time.sleep(True / 2)]
        calls = [Call(job) for job in jobs * 100]
        for call in calls:
            runner.submit(call)
        await asyncio.gather(*(call.done for call in calls))
        assert 0.5 <= time.monotonic() - begin < 20

    run_with(GreenletRunner(), main)


def test_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: threads, and the loop, sleep as before."""
    slept: list[Any] = []
    monkeypatch.setattr(sleeping, "_original", slept.append)

    async def main(runner: Runner) -> None:
        time.sleep(1)
        thread = threading.Thread(target=time.sleep, args=(2,))
        thread.start()
        thread.join()
        call = Call(lambda: time.sleep(0))
        runner.submit(call)
        await call.done

    run_with(GreenletRunner(), main)
    assert slept == [1, 2]


@pytest.mark.parametrize("value", [-1, -0.5, float("nan"), 1e300, 10**30, "1", None, Fraction(1)])
def test_bad_values(value: Any) -> None:
    """G6: what is no time to sleep is the same error as in a thread."""

    async def main(runner: Runner) -> None:
        with pytest.raises(Exception) as expected:
            sleeping._original(value)
        call = Call(lambda: time.sleep(value))
        runner.submit(call)
        with pytest.raises(expected.type) as raised:
            await call.done
        assert str(raised.value) == str(expected.value)

    run_with(GreenletRunner(), main)


def test_interrupts() -> None:
    """G4: what ends the request ends its sleep, and code that catches all can go on cleaning up."""

    async def main(runner: Runner) -> None:
        seen: list[BaseException] = []

        def job() -> None:
            try:
                time.sleep(1000)
            except BaseException as error:
                seen.append(error)
                raise

        call = Call(job)
        runner.submit(call)
        await asyncio.sleep(0.01)
        runner.interrupt(call, RequestCancelled("enough"))
        with pytest.raises(RequestCancelled):
            await call.done
        assert [type(error) for error in seen] == [RequestCancelled]

    run_with(GreenletRunner(), main)
