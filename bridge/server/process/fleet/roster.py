"""The workers that there are, and the single steps that one of them is brought to take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bridge.server.config.config import Config
from bridge.server.lifecycle.orders import STARTING_LIMIT
from bridge.server.lifecycle.retiring import RETIRE_GRACE
from bridge.server.process.channel import Message
from bridge.server.process.fleet.members import (
    Action,
    Fork,
    Kill,
    Member,
    Report,
    State,
    Tell,
    Terminate,
)

#: Seconds that a process which was killed, or has said that it cannot start, has to be gone.
KILL_GRACE: Final = 5.0
#: Seconds that a worker may take beyond what its settings allow, before it is killed.
SPARE: Final = 5.0


class Roster:
    """The members by slot, and what is to be done, in order. It decides nothing."""

    def __init__(self, jitter: Callable[[int], int]) -> None:
        self.by_slot: dict[int, Member] = {}
        self._jitter = jitter
        self._actions: list[Action] = []

    def __iter__(self) -> Iterator[Member]:
        return iter([*self.by_slot.values()])

    def take_actions(self) -> list[Action]:
        """Return what is to be done, and forget it."""
        actions, self._actions = self._actions, []
        return actions

    def add(self, action: Action) -> None:
        """Have something done."""
        self._actions.append(action)

    def report(self, level: int, text: str) -> None:
        """Have a line logged."""
        self.add(Report(level, text))

    # --------------------------------------------------------- who is there

    def find(self, pid: int) -> Member | None:
        """Return the worker with this pid; None: a stranger."""
        return next((each for each in self if each.pid == pid), None)

    def having(self, *states: State, generation: int | None = None) -> list[Member]:
        """Return those in one of these states, of one generation, or of any."""
        return [
            each for each in self if each.state in states and generation in (None, each.generation)
        ]

    @property
    def is_replacing(self) -> bool:
        """Whether a worker is being started in the place of another."""
        return any(each.replaces for each in self)

    # --------------------------------------------------------- what becomes of them

    def fork(self, generation: int, config: Config, now: float) -> Member:
        """Have a worker started, with these settings."""
        slots = range(len(self.by_slot) + 1)
        slot = next(number for number in slots if number not in self.by_slot)
        member = self.by_slot[slot] = Member(slot, generation, now)
        if config.max_requests:
            member.most_requests = config.max_requests + self._jitter(config.max_requests_jitter)
        self.add(Fork(member, config))
        return member

    def remove(self, member: Member) -> None:
        """Forget a worker that is gone."""
        del self.by_slot[member.slot]
        self._release_successor_of(member)

    def tell(self, member: Member, message: Message) -> None:
        """Have a message sent to it."""
        self.add(Tell(member, message))

    def serve(self, member: Member, config: Config, now: float) -> None:
        """Have a worker that has started serve; the one that it replaces retires."""
        member.state, member.serving_since, member.heard = State.SERVING, now, now
        self.tell(member, {"type": "serve"})
        replaced, member.replaces = member.replaces, None
        if replaced is not None and replaced.state is State.SERVING:
            self.retire(replaced, config, now)

    def retire(self, member: Member, config: Config, now: float) -> None:
        """Have a worker go, without a lost request: others serve. `config` says how long."""
        if member.state is not State.SERVING:
            self.stop(member, config, now)
            return
        self.tell(member, {"type": "retire"})
        self._take_from_service(member, State.RETIRING)
        member.deadline = _latest(config, now + RETIRE_GRACE)

    def stop(self, member: Member, config: Config, now: float) -> None:
        """Have a worker end, however far it has come."""
        if member.state is State.KILLED or member.told_to_stop:
            return
        member.told_to_stop = True
        if not member.pid:  # not forked yet
            self.remove(member)
            return
        grace = config.timeout_graceful_shutdown
        if member.state is State.STARTING:
            self.add(Terminate(member))
            member.deadline = now + STARTING_LIMIT
        else:
            held = member.state is State.STARTED
            self.tell(member, {"type": "stop", "grace": 0 if held else grace})
            member.deadline = _latest(config, now)
        self._take_from_service(member, State.RETIRING)

    def kill(self, member: Member, now: float, *, shows_stack: bool) -> None:
        """Have a worker killed, at once or when its stack is logged."""
        self._take_from_service(member, State.KILLED)
        member.deadline = now + KILL_GRACE
        self.add(Kill(member, shows_stack))

    def _take_from_service(self, member: Member, state: State) -> None:
        member.state, member.replaces = state, None
        self._release_successor_of(member)

    def _release_successor_of(self, member: Member) -> None:
        """Have the worker that was to replace this one count by itself."""
        for each in self:
            if each.replaces is member:
                each.replaces = None


def _latest(config: Config, now: float) -> float | None:
    """Return when a worker must be gone that is told to stop `now`; None: any time."""
    if not config.timeout_shutdown:
        return None
    return now + config.timeout_graceful_shutdown + config.timeout_shutdown + SPARE


def seconds(number: float) -> str:
    """Return text like ``0.5 s``."""
    return f"{round(number, 1):g} s"
