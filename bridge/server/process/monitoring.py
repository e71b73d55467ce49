"""What others see of a supervisor: health and metrics at a port of its own, and systemd (O1 to O4).

All of that is on the supervisor's loop, so it goes on while every worker is blocked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bridge.errors import pluralize
from bridge.server.config.config import Config
from bridge.server.metrics.merge import keep_counts, merge
from bridge.server.metrics.snapshot import COUNTER, GAUGE, Family, Snapshot
from bridge.server.operations.health import Health
from bridge.server.operations.port import OperationsPort, open_operations
from bridge.server.operations.systemd import Notifier
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import Action, Announce, Gone, Member, Reloaded, State

#: Why a worker has gone, as it is said within the server -> the value of a label.
_REASONS: Final = {
    "fewer workers are wanted": "scale",
    "told to": "stop",
    "SIGTERM": "signal",
    **{name: name for name in ("max_requests", "max_rss", "max_lifetime", "reload")},
    **{name: name for name in ("blocked", "crash", "start")},
}


class Monitoring:
    """What monitors and systemd are told of the workers of one `fleet`."""

    def __init__(self, fleet: Fleet, more: Callable[[], Snapshot] = dict) -> None:
        self._fleet = fleet
        #: What others count in this process.
        self._more = more
        self._health = Health(lambda: fleet.is_ready)
        self._systemd = Notifier()
        self._port: OperationsPort | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        #: What workers that are gone have counted, and how many have gone, by reason.
        self._gone: Snapshot = {}
        self._ends: dict[str, int] = {}

    async def open(self, config: Config) -> None:
        """Answer monitors from now on, on the running loop. Raises `ConfigError`."""
        self._loop = asyncio.get_running_loop()
        self._systemd = Notifier.from_environment()
        self._port = OperationsPort(open_operations(config), self._health, self.figures)
        await self._port.open()

    def close(self) -> None:
        """Answer no more."""
        self._systemd.close()
        if self._port is not None:
            self._port.close()

    # --------------------------------------------------------- what happens to the workers

    def note(self, action: Action) -> None:
        """Note what is done for the fleet."""
        match action:
            case Announce() if self._loop is not None:
                self._systemd.begin(self._loop, self.status)
            case Gone(member, why):
                self._note_end(member, why)
            case Reloaded() if self._fleet.reloading is None:
                self.reloaded()

    def _note_end(self, member: Member, why: str) -> None:
        reason = _REASONS.get(why.partition(":")[0], "other")
        self._ends[reason] = self._ends.get(reason, 0) + 1
        self._gone = keep_counts(self._gone, member.figures or {})

    def reloading(self) -> None:
        """Note that a reload begins."""
        if not self._fleet.is_stopping:
            self._systemd.reloading()

    def reloaded(self) -> None:
        """Note that no reload is under way any more."""
        if not self._fleet.is_stopping:
            self._systemd.reloaded()

    def stopping(self) -> None:
        """Note that the server stops, soon or now."""
        self._health.drain()
        self._systemd.stopping()

    # --------------------------------------------------------- what is told

    def status(self) -> str:
        """Describe the server in a line."""
        serving = self._fleet.roster.having(State.SERVING)
        connections = int(sum(each.beat["connections"] for each in self._fleet.roster))
        return (
            f"{self._fleet.state}: {len(serving)} of {pluralize(self._fleet.wanted, 'worker')}, "
            f"{pluralize(connections, 'connection')}"
        )

    def figures(self) -> Snapshot:
        """Return what all workers have counted, those that are gone included."""
        workers = [(str(each.slot), each.figures) for each in self._fleet.roster if each.figures]
        return merge([*workers, ("", {**self._own(), **self._more()})], self._gone)

    def _own(self) -> Snapshot:
        states = dict.fromkeys((each.value for each in State), 0)
        for member in self._fleet.roster:
            states[member.state.value] += 1
        ends = sorted(self._ends.items())
        return {
            "bridge_workers": Family(
                type=GAUGE,
                help="Workers, by how far they have come.",
                samples=[[{"state": state}, number] for state, number in states.items()],
            ),
            "bridge_workers_wanted": Family(
                type=GAUGE, help="Workers that there should be.", samples=[[{}, self._fleet.wanted]]
            ),
            "bridge_workers_gone_total": Family(
                type=COUNTER,
                help="Workers that have ended, by reason.",
                samples=[[{"reason": reason}, number] for reason, number in ends],
            ),
        }
