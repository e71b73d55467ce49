"""Calls that wait deep inside: in generators, in functions that C calls, between greenlets."""

from __future__ import annotations

import asyncio
import functools
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import pytest

from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from tests.runners.jobs import Call, run_with

PAUSE = 0.01


def by_sorted(number: int) -> Any:
    def key(value: int) -> int:
        time.sleep(PAUSE)
        return (value * number) % 7

    return sorted(range(6), key=key)


def by_re(number: int) -> Any:
    def swapped(match: re.Match[str]) -> str:
        time.sleep(PAUSE)
        return str(int(match[0]) + number)

    return re.sub(r"\d", swapped, "1 2 3 4")


def by_sqlite(number: int) -> Any:
    def slow(value: int) -> int:
        time.sleep(PAUSE)
        return value + number

    connection = sqlite3.connect(":memory:")
    connection.create_function("slow", 1, slow)
    found = connection.execute("SELECT slow(1), slow(2), slow(slow(3))").fetchall()
    connection.close()
    return found


def by_generators(number: int) -> Any:
    def inner() -> Iterator[int]:
        for value in range(3):
            time.sleep(PAUSE)
            yield value * number

    def outer() -> Iterator[int]:
        yield from inner()
        try:
            yield from inner()
        finally:
            time.sleep(PAUSE)

    def sleeps(value: int) -> int:
        time.sleep(PAUSE)
        return value

    return [*outer(), *map(sleeps, inner())]


def by_cache(number: int) -> Any:
    @functools.cache
    def slow(value: int) -> int:
        time.sleep(PAUSE)
        return value * number

    return [slow(1), slow(2), slow(1), max([3, 1, 2], key=slow), functools.reduce(
        lambda one, other: time.sleep(PAUSE) or one + other, [1, 2, 3])]  # fmt: skip


class Special:
    """Every method that Python calls by itself sleeps."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        time.sleep(PAUSE)
        return isinstance(other, Special) and self.number == other.number

    def __hash__(self) -> int:
        time.sleep(PAUSE)
        return 1

    def __str__(self) -> str:
        time.sleep(PAUSE)
        return str(self.number)

    def __enter__(self) -> Special:
        time.sleep(PAUSE)
        return self

    def __exit__(self, *error: object) -> bool:
        time.sleep(PAUSE)
        return True


def by_special_methods(number: int) -> Any:
    held = {Special(number): "a", Special(number + 1): "b"}
    with Special(number) as special:
        assert held[special] == "a"
        raise LookupError
    return held[Special(number + 1)], f"{special}", Special(number) in [*held]


def by_exceptions(number: int) -> Any:
    seen = []
    for attempt in range(3):
        try:
            try:
                raise LookupError(number)
            finally:
                time.sleep(PAUSE)
        except LookupError as error:
            time.sleep(PAUSE)
            seen.append((attempt, *error.args))
    return seen


def by_asyncio(number: int) -> Any:
    async def plain() -> int:
        time.sleep(PAUSE)
        await asyncio.sleep(PAUSE)
        return number

    async def both() -> list[int]:
        return await asyncio.gather(plain(), plain())

    return asyncio.run(both())


WAYS = [
    by_sorted,
    by_re,
    by_sqlite,
    by_generators,
    by_cache,
    by_special_methods,
    by_exceptions,
    by_asyncio,
]


def test_deep_calls() -> None:
    """G6: what waits inside of functions that C calls gives way, and each gets its own results."""

    async def main(runner: Runner) -> None:
        jobs = [(way, number) for way in WAYS for number in range(1, 20)]
        calls = [Call(lambda w=way, n=number: w(n)) for way, number in jobs]
        for call in calls:
            runner.submit(call)
        found = [await call.done for call in calls]
        with ThreadPoolExecutor(50) as threads:
            assert found == [*threads.map(lambda job: job[0](job[1]), jobs)]

    run_with(GreenletRunner(), main)


@pytest.mark.parametrize("way", WAYS)
def test_others_go_on(way: Callable[[int], Any]) -> None:
    """G6: while one greenlet waits deep inside, another takes its turns."""

    async def main(runner: Runner) -> None:
        turns: list[str] = []

        def job() -> None:
            way(2)
            turns.append("deep")

        def other() -> None:
            for _ in range(3):
                time.sleep(PAUSE / 10)
                turns.append("turn")

        calls = [Call(job), Call(other)]
        for call in calls:
            runner.submit(call)
        for call in calls:
            await call.done
        assert turns[0] == "turn"

    run_with(GreenletRunner(), main)


def test_contexts() -> None:
    """G3, G6: a greenlet has the context of its request, before and after each wait, and no
    other's."""
    variable: ContextVar[str] = ContextVar("variable", default="none")

    async def main(runner: Runner) -> None:
        def job() -> list[str]:
            seen = [variable.get()]
            for _ in range(5):
                variable.set(variable.get() + "+")
                time.sleep(PAUSE)
            return [*seen, variable.get()]

        async def request(name: str) -> list[str]:
            variable.set(name)
            call = Call(job)
            if name < "f":
                await runner.run(call)
            else:
                runner.submit(call)
            found = await call.done
            assert variable.get() == name
            return found  # type: ignore[no-any-return]

        names = "abcdefghij"
        found = await asyncio.gather(*(asyncio.create_task(request(name)) for name in names))
        assert found == [[name, name + "+++++"] for name in names]
        assert variable.get() == "none"

    run_with(GreenletRunner(), main)
