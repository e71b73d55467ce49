"""Ask workers what they do; one that does not answer writes its stacks at a signal (O3, P6)."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count
from typing import Final

from bridge.server.process.channel import Message
from bridge.server.process.fleet.members import Member
from bridge.server.process.links import Links

#: Seconds for a worker to answer: its loop may be busy.
ANSWER_LIMIT: Final = 1.0


class Asking:
    """Questions that are under way, on the supervisor's loop; none of them is a task."""

    def __init__(self, loop: asyncio.AbstractEventLoop, links: Links) -> None:
        self._loop = loop
        self._links = links
        self._numbers = count(1)
        #: Number of the question -> who waits for its answer.
        self._waiting: dict[int, asyncio.Future[str]] = {}

    def stacks(self, member: Member) -> asyncio.Future[str]:
        """Say what `member` does: every thread and task; empty if it cannot be found out.

        A worker whose loop turns tells it itself, with all names. Else `faulthandler` does; at
        once, if the worker has noted that its loop is blocked.
        """
        number = next(self._numbers)
        answer: asyncio.Future[str] = self._loop.create_future()
        self._waiting[number] = answer
        file = self._links.stacks(member)
        is_blocked = file is not None and file.read_note()[1]
        patience = 0.0 if is_blocked else ANSWER_LIMIT
        limit = self._loop.call_later(patience, self._read_file, member, answer)
        answer.add_done_callback(partial(self._end, number, limit))
        self._links.tell(member, {"type": "ask", "id": number, "what": "stacks"})
        return answer

    def hear(self, message: Message) -> None:
        """Take what a worker has said; what is no answer to a question is none of this."""
        if message["type"] != "answer":
            return
        answer = self._waiting.get(message.get("id", 0))
        if answer is not None and not answer.done():
            answer.set_result(str(message.get("text", "")))

    def _read_file(self, member: Member, answer: asyncio.Future[str]) -> None:
        file = self._links.stacks(member)
        if file is None:
            _answer(answer, "")
        else:
            file.read(member.pid).add_done_callback(partial(_pass_on, answer))

    def _end(self, number: int, limit: asyncio.TimerHandle, answer: asyncio.Future[str]) -> None:
        limit.cancel()
        del self._waiting[number]


def _pass_on(answer: asyncio.Future[str], written: asyncio.Future[str]) -> None:
    _answer(answer, "" if written.cancelled() else written.result())


def _answer(answer: asyncio.Future[str], text: str) -> None:
    if not answer.done():
        answer.set_result(text)
