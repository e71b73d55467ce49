"""The supervisor's links to its workers; the other ends are in this process here."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import pytest

from bridge.server.config.config import Config
from bridge.server.network.load_board import LoadBoard
from bridge.server.process.channel import Channel, ChannelClosed, Message
from bridge.server.process.fleet.members import Fork, Member
from bridge.server.process.links import Ends, Links, be_worker


class Worlds:
    """Links, what was heard, and the worker's end of each channel."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, Message]] = []
        #: What is closed at the end of the test.
        self.ends: list[Ends | Channel] = []
        self.links = Links(asyncio.get_running_loop(), self.hear)

    def hear(self, member: Member, messages: list[Message]) -> None:
        self.heard += [(member.slot, each) for each in messages]

    def make(self) -> Ends:
        """What a worker needs."""
        self.ends.append(ends := self.links.make())
        return ends

    def add(self, slot: int) -> tuple[Member, Channel]:
        """A worker: as after a fork, its end is open in another process."""
        ends = self.make()
        theirs = Channel(ends.theirs._socket.dup())
        self.ends.append(theirs)
        member = Member(slot, 1, 0.0)
        self.links.add(member, ends)
        self.ends.remove(ends)  # closed with its worker
        return member, theirs


def run(story: Callable[[Worlds], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = Worlds()
        try:
            await asyncio.wait_for(story(world), 30)
        finally:
            for member in [*world.links._ends]:
                world.links.remove(member)
            for end in world.ends:
                end.close()

    asyncio.run(main())


async def until(happened: Callable[[], object]) -> None:
    while not happened():
        await asyncio.sleep(0.01)


def test_what_workers_say_is_heard_as_it_comes() -> None:
    """P6: each message with its worker."""

    async def story(world: Worlds) -> None:
        _, first = world.add(0)
        _, second = world.add(1)
        second.send({"type": "started"})
        await until(lambda: world.heard)
        first.send({"type": "beat"})
        await until(lambda: len(world.heard) == 2)
        assert world.heard == [(1, {"type": "started"}), (0, {"type": "beat"})]

    run(story)


def test_orders_go_to_one_or_to_all() -> None:
    """P5: those that are gone get none."""

    async def story(world: Worlds) -> None:
        first, end = world.add(0)
        second, gone = world.add(1)
        gone.close()
        world.links.tell(first, {"type": "serve"})
        world.links.tell(second, {"type": "serve"})
        world.links.tell_all({"type": "stats"})
        assert [each["type"] for each in end.receive()] == ["serve", "stats"]
        world.links.remove(first)
        world.links.tell(first, {"type": "stop"})
        with pytest.raises(ChannelClosed):
            end.receive()

    run(story)


def test_a_slow_worker_gets_its_orders_later() -> None:
    """P5: the supervisor waits for none of them."""

    async def story(world: Worlds) -> None:
        member, end = world.add(0)
        large = {"type": "ask", "text": "x" * 100_000}
        for _ in range(8):
            world.links.tell(member, large)
        received: list[Message] = []
        while len(received) < 8:
            received += end.receive()
            await asyncio.sleep(0.01)
        assert received == [large] * 8
        for _ in range(8):
            world.links.tell(member, large)
        end.close()  # it dies meanwhile
        await asyncio.sleep(0.05)
        world.links.read(member)
        world.links.remove(member)

    run(story)


def test_the_end_of_a_channel_closes_it() -> None:
    """P7: last words are heard; what there is besides is kept until the process is reaped."""

    async def story(world: Worlds) -> None:
        member, end = world.add(0)
        end.send({"type": "failed"})
        end.close()
        await until(lambda: not world.links._channels)
        assert world.heard == [(0, {"type": "failed"})]
        world.links.read(member)
        assert world.links.stacks(member) is not None
        world.links.remove(member)
        world.links.remove(member)
        assert world.links.stacks(member) is None

    run(story)


def test_seats_are_used_again() -> None:
    """P8: when the worker is gone, or was never forked."""

    async def story(world: Worlds) -> None:
        member, _ = world.add(0)
        world.add(1)
        ends = world.make()
        assert ends.seat.index == 2
        ends.close()
        world.ends.remove(ends)
        world.links.remove(member)
        assert [world.make().seat.index for _ in range(2)] == [0, 2]

    run(story)


def test_a_system_without_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """P1: that is told, and no seat is lost."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    async def story(world: Worlds) -> None:
        for name in ("socket.socketpair", "bridge.server.process.links.StackFile"):
            with monkeypatch.context() as patch:
                patch.setattr(name, refuse)
                with pytest.raises(OSError, match="Too many open files"):
                    world.make()
        assert world.make().seat.index == 0

    run(story)


def test_a_child_is_a_worker_with_its_ends() -> None:
    """P1: the supervisor's end is closed there."""
    ends = Ends(LoadBoard())
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def run_worker(*args: Any, **kwargs: Any) -> NoReturn:
        calls.append((args, kwargs))
        raise SystemExit

    config = Config()
    with pytest.raises(SystemExit):
        be_worker(run_worker, Fork(Member(3, 1, 0.0), config), [], ends)
    given = {"slot": 3, "seat": ends.seat, "stacks": ends.stacks}
    assert calls == [((config, [], ends.theirs), given)]
    assert ends.ours.fileno() == -1
    ends.close()
