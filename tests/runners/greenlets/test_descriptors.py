"""Greenlets that wait for descriptors, by an epoll set and by the loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from bridge.errors import RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets import descriptors
from bridge.runners.greenlets.descriptors import READ, WRITE, tell_closing, wait_ready
from bridge.runners.greenlets.runner import GreenletRunner
from tests.runners.greenlets.test_waiting import here
from tests.runners.jobs import Call, until

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=[(loop, epoll) for loop in LOOPS for epoll in (True, False)], ids=str)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a coroutine function with a runner, on each loop, with each kind of watch."""
    loop, epoll = request.param
    if not epoll:
        monkeypatch.delattr(descriptors.select, "epoll")

    def run_main(main: Any) -> None:
        async def with_runner() -> None:
            runner = GreenletRunner()
            runner.start(asyncio.get_running_loop())
            try:
                await main(runner)
            finally:
                assert await runner.stop(10)

        with asyncio.Runner(loop_factory=LOOPS[loop]) as on_loop:
            on_loop.run(with_runner())

    return run_main


@pytest.fixture
def pair() -> Any:
    both = socket.socketpair()
    for each in both:
        each.setblocking(False)
    yield both
    for each in both:
        each.close()


def submit(runner: Runner, *jobs: Any) -> list[Call]:
    calls = [Call(job) for job in jobs]
    for call in calls:
        runner.submit(call)
    return calls


def test_ready(run: Any, pair: Any) -> None:
    """G6: a wait ends when its descriptor is ready, and says for what; or when its time is up."""
    left, right = pair

    async def main(runner: Runner) -> None:
        descriptor = left.fileno()

        results: list[dict[int, int]] = []

        def job() -> list[dict[int, int]]:
            results.append(wait_ready(here(), [(descriptor, WRITE)]))
            results.append(wait_ready(here(), [(descriptor, READ)], 0.01))
            results.append(wait_ready(here(), [(descriptor, READ | WRITE)]))
            results.append(wait_ready(here(), [(descriptor, READ)]))
            return results

        (call,) = submit(runner, job)
        await until(lambda: len(results) == 3)
        right.send(b"x")
        assert await call.done == [
            {descriptor: WRITE},
            {},
            {descriptor: WRITE},
            {descriptor: READ},
        ]

    run(main)


def test_two_in_one_direction(run: Any, pair: Any) -> None:
    """G6: all that wait for one descriptor are woken, whatever else is waited for there."""
    left, right = pair

    async def main(runner: Runner) -> None:
        while left.send(bytes(65536)) == 65536:
            pass
        waiting = [READ] * 3 + [WRITE] * 2
        calls = submit(
            runner,
            *(lambda e=e: wait_ready(here(), [(left.fileno(), e)]) for e in waiting),
        )
        await asyncio.sleep(0.01)
        right.send(b"x")
        for call in calls[:3]:
            assert await call.done == {left.fileno(): READ}
        assert not any(call.done.done() for call in calls[3:])
        for _ in range(100):
            try:
                right.recv(1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        for call in calls[3:]:
            assert await call.done == {left.fileno(): WRITE}

    run(main)


def test_several_descriptors(run: Any, pair: Any) -> None:
    """G6: a wait for several descriptors ends with the first of them, and leaves none behind."""
    left, right = pair

    async def main(runner: Runner) -> None:
        reader, writer = os.pipe()
        (call,) = submit(
            runner, lambda: wait_ready(here(), [(left.fileno(), READ), (reader, READ)])
        )
        await asyncio.sleep(0.01)
        os.write(writer, b"x")
        assert await call.done == {reader: READ}
        os.close(reader)
        os.close(writer)
        right.send(b"x")
        await asyncio.sleep(0.01)
        (call,) = submit(runner, lambda: wait_ready(here(), [(left.fileno(), READ)]))
        assert await call.done == {left.fileno(): READ}

    run(main)


def test_closed_meanwhile(run: Any, pair: Any) -> None:
    """G6: a descriptor that is closed while a greenlet waits for it ends the wait with an error."""
    left, right = pair

    async def main(runner: Runner) -> None:
        (call,) = submit(runner, lambda: wait_ready(here(), [(left.fileno(), READ)]))
        await asyncio.sleep(0.01)
        tell_closing(left.fileno())
        descriptor = left.detach()
        os.close(descriptor)
        with pytest.raises(OSError, match="closed while a greenlet waited"):
            await call.done
        again = os.dup(right.fileno())  # most often the same number
        (call,) = submit(runner, lambda: wait_ready(here(), [(again, WRITE)]))
        assert await call.done == {again: WRITE | 16} or await call.done == {again: WRITE}
        os.close(again)

    run(main)


def test_closing_that_was_told_in_vain(run: Any, pair: Any) -> None:
    """G6: a descriptor that was said to close, and did not, can be waited for again."""
    left, right = pair

    async def main(runner: Runner) -> None:
        for byte in (b"a", b"b"):
            (call,) = submit(runner, lambda: wait_ready(here(), [(left.fileno(), READ)]))
            await asyncio.sleep(0.01)
            right.send(byte)
            assert await call.done == {left.fileno(): READ}
            assert left.recv(1) == byte
            tell_closing(left.fileno())

    run(main)


def test_closed_and_nobody_is_told(run: Any, pair: Any) -> None:
    """G6: who closes a descriptor by the system's own call ends its waits, and nobody else's."""
    left, right = pair

    async def main(runner: Runner) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            while True:
                try:
                    ours.send(bytes(65536))  # until there is no room
                except BlockingIOError:
                    break
            descriptor = ours.detach()

            def read_and_close() -> None:
                wait_ready(here(), [(descriptor, READ)])
                os.close(descriptor)

            reading, writing, other = submit(
                runner,
                read_and_close,
                lambda: wait_ready(here(), [(descriptor, WRITE)]),
                lambda: wait_ready(here(), [(left.fileno(), READ)]),
            )
            await asyncio.sleep(0.01)
            theirs.send(b"x")  # both are told of in one step
            right.send(b"x")
            await reading.done
            with pytest.raises(OSError):
                await writing.done
            assert await other.done == {left.fileno(): READ}

    run(main)


def test_peer_that_hangs_up(run: Any, pair: Any) -> None:
    """G6: the end of the other side wakes those that want to read."""
    left, right = pair

    async def main(runner: Runner) -> None:
        (call,) = submit(runner, lambda: wait_ready(here(), [(left.fileno(), READ)]))
        await asyncio.sleep(0.01)
        right.close()
        assert (await call.done)[left.fileno()] & READ
        assert left.recv(10) == b""

    run(main)


def test_nothing_is_left_behind(run: Any, pair: Any) -> None:
    """G6: a wait that is interrupted leaves no reader: the descriptor wakes nobody any more."""
    left, right = pair

    async def main(runner: Runner) -> None:
        calls = submit(runner, *[lambda: wait_ready(here(), [(left.fileno(), READ)])] * 2)
        await asyncio.sleep(0.01)
        runner.interrupt(calls[0], RequestCancelled("enough"))
        with pytest.raises(RequestCancelled):
            await calls[0].done
        right.send(b"x")
        assert await calls[1].done == {left.fileno(): READ}
        (last,) = submit(runner, lambda: wait_ready(here(), [(left.fileno(), READ)]))
        assert await last.done == {left.fileno(): READ}
        await until(lambda: runner.stats().busy == 0)

    run(main)


def test_descriptor_of_a_transport(run: Any) -> None:
    """G6: a descriptor that the loop uses itself can be waited for, which uvloop refuses."""

    async def main(runner: Runner) -> None:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=left)
        try:
            (call,) = submit(runner, lambda: wait_ready(here(), [(left.fileno(), WRITE)]))
            assert await call.done == {left.fileno(): WRITE}
        finally:
            transport.close()
            right.close()

    run(main)


def test_what_cannot_be_watched(run: Any, tmp_path: Any) -> None:
    """G6: a wait for what is no open descriptor is an error, and no endless wait."""

    async def main(runner: Runner) -> None:
        reader, writer = os.pipe()
        os.close(reader)
        os.close(writer)
        (call,) = submit(runner, lambda: wait_ready(here(), [(reader, READ)]))
        with pytest.raises(OSError):
            await call.done
        await until(lambda: runner.stats().busy == 0)

    run(main)
