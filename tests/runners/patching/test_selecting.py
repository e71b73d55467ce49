"""`select`, `poll`, `epoll`, `selectors` and loops of the app's own in greenlets."""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from select import poll as poll_imported_before
from select import select as select_imported_before
from typing import Any

import pytest

from bridge.errors import RequestCancelled
from bridge.runners import Runner
from bridge.runners.greenlets import descriptors
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.patching import selecting
from tests.runners.jobs import Call, run_with, until
from tests.support.waiting import Together

Pair = tuple[socket.socket, socket.socket]


def by_select(sock: Any, timeout: float | None) -> bool:
    return select.select([sock], [], [], timeout) == ([sock], [], [])


def by_imported_select(sock: Any, timeout: float | None) -> bool:
    return select_imported_before([sock], [], [sock], timeout)[0] == [sock]


def by_poll(sock: Any, timeout: float | None) -> bool:
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    found = waiting.poll(None if timeout is None else timeout * 1000)
    return found == [(sock.fileno(), select.POLLIN)]


def by_imported_poll(sock: Any, timeout: float | None) -> bool:
    waiting = poll_imported_before()
    waiting.register(sock.fileno(), select.POLLOUT)
    waiting.modify(sock, select.POLLIN)
    waiting.register(0)
    waiting.unregister(0)
    return bool(waiting.poll(-1 if timeout is None else timeout * 1000))


def by_epoll(sock: Any, timeout: float | None) -> bool:
    with select.epoll() as waiting:
        waiting.register(sock, select.EPOLLIN)
        return waiting.poll(timeout) == [(sock.fileno(), select.EPOLLIN)]


def by_selector(kind: Any) -> Callable[[Any, float | None], bool]:
    def wait(sock: Any, timeout: float | None) -> bool:
        with kind() as waiting:
            key = waiting.register(sock, selectors.EVENT_READ)
            return bool(waiting.select(timeout) == [(key, selectors.EVENT_READ)])

    return wait


def by_loop(sock: Any, timeout: float | None) -> bool:
    async def main() -> bool:
        read = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(sock, lambda: read.done() or read.set_result(None))
        try:
            await asyncio.wait_for(read, timeout)
        except TimeoutError:
            return False
        return True

    return asyncio.run(main())


WAYS = {
    "select": by_select,
    "from select import select": by_imported_select,
    "poll": by_poll,
    "from select import poll": by_imported_poll,
    "epoll": by_epoll,
    "asyncio.run": by_loop,
    **{
        kind.__name__: by_selector(kind)
        for kind in (
            selectors.SelectSelector,
            selectors.PollSelector,
            selectors.EpollSelector,
            selectors.DefaultSelector,
        )
    },
}


@pytest.fixture(params=WAYS)
def wait(request: pytest.FixtureRequest) -> Any:
    return WAYS[request.param]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [socket.socketpair() for _ in range(20)]
    yield made
    for pair in made:
        for each in pair:
            each.close()


def submit(runner: Runner, *jobs: Callable[[], Any]) -> list[Call]:
    calls = [Call(job) for job in jobs]
    for call in calls:
        runner.submit(call)
    return calls


def test_side_by_side(wait: Any, pairs: list[Pair]) -> None:
    """G6: greenlets that wait for files let each other go on, and the loop; each gets its own."""

    async def main(runner: Runner) -> None:
        calls = submit(runner, *(lambda s=left: wait(s, None) for left, _ in pairs))
        await until(lambda: runner.stats().busy == len(pairs))
        for (_, right), call in zip(reversed(pairs), reversed(calls), strict=True):
            assert not call.done.done()
            right.send(b"x")
            assert await call.done is True

    run_with(GreenletRunner(), main)


def test_timeouts(wait: Any, pairs: list[Pair]) -> None:
    """G6: a wait ends when its time is up; what is ready at once needs no wait."""

    async def main(runner: Runner) -> None:
        begin, together = time.monotonic(), Together()
        waits = (partial(wait, left, 0.3) for left, _ in pairs)
        calls = submit(runner, *(partial(together.during, each) for each in waits))
        assert [await call.done for call in calls] == [False] * len(pairs)
        assert time.monotonic() - begin >= 0.29
        assert together.most > 1
        left, right = pairs[0]
        (call,) = submit(runner, lambda: wait(left, 0))
        assert await call.done is False
        right.send(b"x")
        for timeout in (0.5, None):
            (call,) = submit(runner, lambda t=timeout: wait(left, t))
            assert await call.done is True

    run_with(GreenletRunner(), main)


def test_in_threads(wait: Any, pairs: list[Pair]) -> None:
    """G6: threads, and whatever runs without greenlets, wait as before."""
    left, right = pairs[0]
    assert wait(left, 0.01) is False
    later = threading.Timer(0.05, right.send, (b"x",))
    later.start()
    assert wait(left, 30) is True
    later.join()


def test_interrupts(wait: Any, pairs: list[Pair]) -> None:
    """G4: what ends the request ends its wait."""
    left, _ = pairs[0]

    async def main(runner: Runner) -> None:
        (call,) = submit(runner, lambda: wait(left, None))
        await until(lambda: runner.stats().busy == 1)
        await asyncio.sleep(0.01)
        runner.interrupt(call, RequestCancelled("enough"))
        with pytest.raises(RequestCancelled):
            await call.done

    run_with(GreenletRunner(), main)


def test_one_socket_for_two(wait: Any, pairs: list[Pair]) -> None:
    """G6: of two greenlets that wait for one socket, the one that finds it empty waits on."""
    left, right = pairs[0]
    left.setblocking(False)

    async def main(runner: Runner) -> None:
        def job() -> bytes:
            while True:
                assert wait(left, 30)
                try:
                    return left.recv(1)
                except BlockingIOError:
                    continue

        calls = submit(runner, job, job)
        await until(lambda: runner.stats().busy == 2)
        right.send(b"a")
        await until(lambda: any(call.done.done() for call in calls))
        right.send(b"b")
        assert {await call.done for call in calls} == {b"a", b"b"}

    run_with(GreenletRunner(), main)


def test_writing_and_closing(pairs: list[Pair]) -> None:
    """G6: a wait may be for room to write, or for what the other side does last."""
    (left, right), (other, end) = pairs[:2]

    async def main(runner: Runner) -> None:
        left.setblocking(False)
        while True:
            try:
                left.send(bytes(65536))
            except BlockingIOError:
                break

        def hang_up() -> Any:
            waiting = select.poll()
            waiting.register(other, 0)
            return waiting.poll()

        def full() -> Any:
            return select.select([left], [left], [left])

        gone, room = submit(runner, hang_up, full)
        await until(lambda: runner.stats().busy == 2)
        end.close()
        ((descriptor, events),) = await gone.done
        assert (descriptor, events & select.POLLHUP) == (other.fileno(), select.POLLHUP)
        right.setblocking(False)
        while not room.done.done():
            try:
                right.recv(1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0.001)
        assert await room.done == ([], [left], [])

    run_with(GreenletRunner(), main)


def test_plain_files(tmp_path: Path) -> None:
    """G6: a plain file is ready at once; what never comes of it is waited for in a thread."""
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)

    async def main(runner: Runner) -> None:
        (call,) = submit(runner, lambda: select.select([file], [file], [file], 5))
        assert await call.done == ([file], [file], [])
        begin, together = time.monotonic(), Together()
        wait = partial(together.during, lambda: select.select([], [], [file], 0.2))
        calls = submit(runner, *[wait] * 5)
        assert [await call.done for call in calls] == [([], [], [])] * 5
        assert time.monotonic() - begin >= 0.19
        assert together.most > 1

    try:
        run_with(GreenletRunner(), main)
    finally:
        os.close(file)


def test_no_files() -> None:
    """G6: a wait for nothing is a sleep."""

    async def main(runner: Runner) -> None:
        begin, together = time.monotonic(), [Together(), Together()]
        selects = partial(together[0].during, lambda: select.select([], [], [], 0.2))
        polls = partial(together[1].during, lambda: select.poll().poll(200))
        calls = submit(runner, *[selects] * 20, *[polls] * 20)
        assert [await call.done for call in calls] == [([], [], [])] * 20 + [[]] * 20
        assert time.monotonic() - begin >= 0.2
        assert all(each.most > 1 for each in together)

    run_with(GreenletRunner(), main)


@pytest.mark.parametrize(
    ("ours", "original"),
    [
        (lambda: select.select([], [], [], -1), lambda: selecting._select([], [], [], -1)),
        (lambda: select.select([], [], [], "1"), lambda: selecting._select([], [], [], "1")),
        (lambda: select.select([-1], [], []), lambda: selecting._select([-1], [], [])),
        (lambda: select.select(["x"], [], []), lambda: selecting._select(["x"], [], [])),
        (lambda: select.poll().poll("1"), lambda: selecting._poll().poll("1")),
        (lambda: select.poll().modify(0, 1), lambda: selecting._poll().modify(0, 1)),
        (lambda: select.poll().register("x"), lambda: selecting._poll().register("x")),
        (lambda: select.epoll().poll("1"), lambda: selecting._epoll_poll(select.epoll(), "1")),
    ],
)
def test_errors(ours: Any, original: Any) -> None:
    """G6: what is wrong is the same error as before."""

    async def main(runner: Runner) -> None:
        with pytest.raises(Exception) as expected:
            original()
        (call,) = submit(runner, ours)
        with pytest.raises(expected.type) as raised:
            await call.done
        assert str(raised.value) == str(expected.value)

    run_with(GreenletRunner(), main)


def test_loop_beside_greenlets(pairs: list[Pair]) -> None:
    """G5, G6: `asyncio.run` in a greenlet blocks nobody else, and its loop is its own."""

    async def inner(number: int) -> int:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(asyncio.sleep(0.1) for _ in range(3)))
        assert await loop.run_in_executor(None, lambda: number) == number
        assert asyncio.get_running_loop() is loop
        return number

    async def main(runner: Runner) -> None:
        together = Together()
        calls = submit(runner, *(lambda n=n: asyncio.run(inner(n)) for n in range(30)))
        calls += submit(runner, *[partial(together.during, lambda: time.sleep(0.1))] * 30)
        assert [await call.done for call in calls[:30]] == [*range(30)]
        for call in calls[30:]:
            await call.done
        assert together.most > 1
        assert asyncio.get_running_loop() is not None

    run_with(GreenletRunner(), main)


def test_without_epoll(pairs: list[Pair], monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: where the runner has no epoll set (macOS), files are waited for all the same."""
    monkeypatch.delattr(descriptors.select, "epoll")
    left, right = pairs[0]

    async def main(runner: Runner) -> None:
        calls = submit(runner, lambda: by_poll(left, 30), lambda: by_select(left, 30))
        await until(lambda: runner.stats().busy == 2)
        right.send(b"x")
        assert [await call.done for call in calls] == [True, True]

    run_with(GreenletRunner(), main)


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="this system has no epoll")
def test_epoll_sets_that_cannot_be_watched(pairs: list[Pair]) -> None:
    """G6: more than a hundred sets may have the same file, and a set may be in another."""
    left, right = pairs[0]
    nested = [select.epoll() for _ in range(3)]
    for outer, inner in zip(nested, (left, *nested), strict=False):
        outer.register(inner, select.EPOLLIN)

    async def main(runner: Runner) -> None:
        calls = submit(runner, *[lambda: by_epoll(left, 30)] * 110)
        calls += submit(runner, lambda: bool(nested[-1].poll(30)))
        await until(lambda: runner.stats().busy == len(calls))
        right.send(b"x")
        for call in calls:
            assert await call.done is True

    run_with(GreenletRunner(), main)
    for each in nested:
        each.close()
