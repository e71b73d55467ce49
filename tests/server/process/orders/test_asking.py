"""Questions to workers: one that answers, one whose file tells, and answers that nobody awaits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.stack import Place, Stack
from bridge.server.process.channel import Channel, Message
from bridge.server.process.fleet.members import Member
from bridge.server.process.links import Links
from bridge.server.process.orders import asking as module
from bridge.server.process.orders.asking import Asking


class World:
    """A supervisor's side, and the worker's end of one channel."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.links = Links(loop, lambda _, messages: [self.asking.hear(each) for each in messages])
        self.asking = Asking(loop, self.links)
        ends = self.links.make()
        self.worker = Channel(ends.theirs._socket.dup())
        self.member = Member(0, 1, 0.0, pid=1 << 30)
        self.links.add(self.member, ends)

    async def asked(self) -> Message:
        """What the worker is asked."""
        while not (messages := self.worker.receive()):
            await asyncio.sleep(0)
        return messages[0]


def run(story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = World()
        try:
            await asyncio.wait_for(story(world), 30)
        finally:
            world.links.remove(world.member)
            world.worker.close()

    asyncio.run(main())


def test_a_worker_that_answers_is_believed() -> None:
    """O3: by the number of the question; whatever else it says is no answer."""

    async def story(world: World) -> None:
        first, second = world.asking.stacks(world.member), world.asking.stacks(world.member)
        question = await world.asked()
        assert (question["type"], question["what"]) == ("ask", "stacks")
        for message in (
            {"type": "beat", "id": question["id"]},
            {"type": "answer", "id": 999, "text": "of another question"},
            {"type": "answer"},
            {"type": "answer", "id": question["id"], "text": "thread MainThread"},
            {"type": "answer", "id": question["id"], "text": "again"},
            {"type": "answer", "id": question["id"] + 1},
        ):
            world.worker.send(message)
        assert await first == "thread MainThread"
        assert await second == ""

    run(story)


def test_a_worker_that_does_not_answer_has_its_file_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: what `faulthandler` has written; nothing, if that cannot be had, or it is gone."""
    monkeypatch.setattr(module, "ANSWER_LIMIT", 0.01)

    async def story(world: World) -> None:
        file = world.links.stacks(world.member)
        assert file is not None
        written: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(file, "read", lambda pid: written)
        answers = [world.asking.stacks(world.member) for _ in range(3)]
        answers[2].cancel()
        await asyncio.sleep(0.05)
        answers.append(world.asking.stacks(world.member))
        await asyncio.sleep(0.05)
        answers[3].cancel()
        written.set_result("Current thread")
        assert await answers[0] == await answers[1] == "Current thread"
        monkeypatch.setattr(file, "read", lambda pid: cancelled())
        assert await world.asking.stacks(world.member) == ""
        world.links.remove(world.member)
        assert await world.asking.stacks(world.member) == ""

    run(story)


def test_a_worker_that_is_blocked_is_not_waited_for() -> None:
    """R3: its watchdog has noted that, so its file is read at once."""

    async def story(world: World) -> None:
        file = world.links.stacks(world.member)
        assert file is not None
        stack = Stack((Place("app.py", 3, "view"),), 0, "", "", False, False)
        file.note(Block(stack, 1, 0.0, alone=False))
        begin = asyncio.get_running_loop().time()
        assert await world.asking.stacks(world.member) == ""  # there is no such process
        assert asyncio.get_running_loop().time() - begin < module.ANSWER_LIMIT

    run(story)


def cancelled() -> asyncio.Future[str]:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future
