"""The hooks of routes that were taken back: each is called in one worker, to its end (M21).

    called -> a worker is told, the one that was heard of last; it says with a beat that it is over
    it dies before -> another one is told; nobody serves -> the next one that does

So a hook may be called twice, if a worker dies while it runs, and is not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.log import logger
from bridge.server.process.channel import Message
from bridge.server.process.fleet.members import Member

#: So many workers may die of one hook.
_MOST: Final = 3


@dataclass
class _Call:
    """A hook that is not over."""

    message: Message
    member: Member | None = None
    tries: int = 0


class Hooks:
    """Those that are not over; `tell` sends a message to a worker."""

    def __init__(self, tell: Callable[[Member, Message], None]) -> None:
        self._tell = tell
        self._calls: dict[int, _Call] = {}
        self._last = 0

    def call(self, change: Any, serving: Sequence[Member]) -> None:
        """Have one of those that serve call the hook of a route."""
        self._last += 1
        message = {
            "type": "rolled-back",
            "id": self._last,
            "route": change.route,
            "reason": change.reason,
            "share": change.before,
        }
        self._calls[self._last] = _Call(message)
        self._give(serving)

    def serves(self, member: Member) -> None:
        """Take a worker that is about to serve."""
        self._give([member])

    def over(self, member: Member, numbers: Sequence[object]) -> None:
        """Take what a worker says."""
        for number in numbers:
            call = self._calls.get(number) if isinstance(number, int) else None
            if call is not None and call.member is member:
                self._calls = {each: kept for each, kept in self._calls.items() if kept is not call}

    def gone(self, member: Member, serving: Sequence[Member]) -> None:
        """Have others call what a worker has not, which is gone."""
        for number, call in [*self._calls.items()]:
            if call.member is member:
                call.member = None
                if call.tries == _MOST:
                    del self._calls[number]
                    logger.error(
                        "the hook on_rollback of route %s has not ended: %d workers are gone that "
                        "were to call it",
                        call.message["route"],
                        _MOST,
                    )
        self._give(serving)

    def _give(self, serving: Sequence[Member]) -> None:
        """Have the worker that was heard of last call what nobody does."""
        for call in self._calls.values():
            if call.member is None and serving:
                call.member = max(serving, key=lambda member: member.heard)
                call.tries += 1
                self._tell(call.member, call.message)
