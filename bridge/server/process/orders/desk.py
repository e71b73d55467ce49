"""Where a supervisor takes orders, and tells what its workers do (O3).

It counts what workers have served that are gone, and how many requests a second there are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from bridge.errors import ConfigError, pluralize
from bridge.server.config.config import Config
from bridge.server.control.orders import OrderFailed, ServerStatus, WorkerStatus
from bridge.server.control.pid_file import PidFile
from bridge.server.control.server import ControlServer
from bridge.server.control.usage import cpu_seconds, memory
from bridge.server.metrics.snapshot import Snapshot
from bridge.server.metrics.text import render
from bridge.server.network.listeners import Listener
from bridge.server.process.channel import Message
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import Action, Gone, Member
from bridge.server.process.links import Links
from bridge.server.process.orders import switching
from bridge.server.process.orders.asking import Asking
from bridge.server.process.ramp.ramp import Ramp

#: Of this process, whatever is installed by now. (A package cannot import what it is made of.)
_VERSION: Final[str] = sys.modules["bridge"].__version__
#: Seconds between two counts, and how many of them a rate is taken over.
COUNT_PERIOD: Final = 1.0
_COUNTS: Final = 5


class Ordered(Protocol):
    """The supervisor, as the desk sees it."""

    config: Config
    fleet: Fleet
    links: Links
    ramp: Ramp
    listeners: Sequence[Listener]

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here runs on."""
        ...

    def reload(self) -> asyncio.Future[str]:
        """Replace all workers; an error, empty if it has worked. Raises `ConfigError`."""
        ...

    def scale(self, wanted: int) -> None:
        """Have so many workers."""
        ...

    def stop(self) -> None:
        """Begin to stop."""
        ...

    def reopen_logs(self) -> None:
        """Open log files again, here and in each worker."""
        ...


class Desk:
    """Carries out orders for a supervisor (it is a `Supervision`), and keeps its pid file."""

    def __init__(self, supervisor: Ordered, figures: Callable[[], Snapshot]) -> None:
        self._supervisor = supervisor
        self._figures = figures
        self._asking = Asking(supervisor.loop, supervisor.links)
        self._started = time.time()
        self._addresses: list[str] = []
        self._pid_file: PidFile | None = None
        self._control: ControlServer | None = None
        #: Requests that were served by workers that are gone.
        self._served_before = 0
        #: Time (the loop's) and requests served, once a second.
        self._counts: deque[tuple[float, int]] = deque(maxlen=_COUNTS + 1)
        self._next_count: asyncio.TimerHandle | None = None
        #: Logs what workers say of the routes of cutovers.
        self._conflicts = switching.Conflicts()

    async def open(self) -> None:
        """Write the pid file and take orders, from now on; the server listens.

        Raises `ConfigError` if the pid file is that of a living server. That the control socket
        cannot be had is a warning.
        """
        supervisor = self._supervisor
        config = supervisor.config
        self._addresses = [each.describe() for each in supervisor.listeners]
        if config.pid is not None:
            self._pid_file = PidFile.write(config.pid)
        self._control = ControlServer.open(config.control_socket)
        if self._control is not None:
            await self._control.serve(self)
            self._count()

    def close(self) -> None:
        """Take no more orders; the socket and the pid file are removed."""
        if self._next_count is not None:
            self._next_count.cancel()
        if self._control is not None:
            self._control.close()
        if self._pid_file is not None:
            self._pid_file.remove()

    # --------------------------------------------------------- what happens to the workers

    def note(self, action: Action) -> None:
        """Note what is done for the fleet: what a worker has served that is gone stays counted."""
        if isinstance(action, Gone):
            self._served_before += int(action.member.beat["served"])

    def hear(self, message: Message) -> None:
        """Take what a worker has said."""
        self._asking.hear(message)
        self._conflicts.hear(message)

    # --------------------------------------------------------- what there is to be told

    def _served(self) -> int:
        return self._served_before + sum(
            int(each.beat["served"]) for each in self._supervisor.fleet.roster
        )

    def _count(self) -> None:
        loop = self._supervisor.loop
        self._counts.append((loop.time(), self._served()))
        self._next_count = loop.call_later(COUNT_PERIOD, self._count)

    def _rate(self) -> float:
        if len(self._counts) < 2:
            return 0.0
        (then, before), (now, served) = self._counts[0], self._counts[-1]
        return (served - before) / (now - then)

    def status(self) -> ServerStatus:
        """Describe the server."""
        supervisor = self._supervisor
        config, fleet = supervisor.config, supervisor.fleet
        return {
            "pid": os.getpid(),
            "version": _VERSION,
            "app": ", ".join(config.mount) or config.cutover or _name(config.app),
            "listeners": self._addresses,
            "started": self._started,
            "generation": fleet.generation,
            "wanted": fleet.wanted,
            "state": fleet.state,
            "served": self._served(),
            "rate": self._rate(),
        }

    def workers(self) -> list[WorkerStatus]:
        """Describe each worker, by slot."""
        roster, now = self._supervisor.fleet.roster, self._supervisor.loop.time()
        return [_describe(each, now) for each in sorted(roster, key=_slot) if each.pid]

    def metrics(self) -> str:
        """Return all figures, as Prometheus reads them. Raises `OrderFailed` if none are kept."""
        if self._supervisor.config.metrics_bind is None:
            raise OrderFailed(
                "no figures are kept, since nobody reads them; start the server with "
                "--metrics-bind 127.0.0.1:9000 (or another address)"
            )
        return render(self._figures())

    def stacks(self) -> asyncio.Future[dict[int, str]]:
        """Collect what each worker does, by pid."""
        answer: asyncio.Future[dict[int, str]] = self._supervisor.loop.create_future()
        members = [each for each in self._supervisor.fleet.roster if each.pid]
        texts: dict[int, str] = {}

        def note(member: Member, told: asyncio.Future[str]) -> None:
            texts[member.pid] = "" if told.cancelled() else told.result()
            if len(texts) == len(members) and not answer.done():
                answer.set_result({each.pid: texts[each.pid] or _NO_STACK for each in members})

        for member in members:
            self._asking.stacks(member).add_done_callback(partial(note, member))
        if not members:
            answer.set_result({})
        return answer

    # --------------------------------------------------------- what there is to be done

    def reload(self) -> asyncio.Future[str]:
        """Replace all workers; see `Supervision.reload`."""
        answer: asyncio.Future[str] = self._supervisor.loop.create_future()
        try:
            reloaded = self._supervisor.reload()
        except ConfigError as error:
            raise OrderFailed(f"no reload, the workers stay as they are: {error}") from None

        def note(reloaded: asyncio.Future[str]) -> None:
            if answer.done():
                return
            if error := reloaded.result():
                answer.set_exception(
                    OrderFailed(f"the reload was given up, and the old workers serve on: {error}")
                )
            else:
                fleet = self._supervisor.fleet
                workers = pluralize(fleet.wanted, "new worker")
                answer.set_result(f"reloaded: {workers} of generation {fleet.generation}")

        reloaded.add_done_callback(note)
        return answer

    def scale(self, number: int) -> str:
        """Have `number` workers from now on. Raises `OrderFailed`."""
        fleet = self._supervisor.fleet
        if fleet.is_stopping:
            raise OrderFailed("the server stops")
        before = fleet.wanted
        self._supervisor.scale(number)
        return f"{pluralize(number, 'worker')} from now on; before: {before}"

    def reopen_logs(self) -> str:
        """Open log files again, here and in each worker."""
        self._supervisor.reopen_logs()
        return "log files were opened again"

    def routes(self) -> dict[str, Any]:
        """Describe the routes of the cutover, and how they go. Raises `OrderFailed`."""
        found = switching.routes(self._supervisor.ramp, self._conflicts)
        return {**found, "started": self._started, "listeners": self._addresses}

    def switch(self, route: str, mode: str, share: object, by: str) -> asyncio.Future[str]:
        """Switch a route, in its file and in each worker. Raises `OrderFailed`."""
        return switching.switch(self._supervisor.ramp, route, mode, share, by)

    def stop(self) -> str:
        """Begin to stop, as SIGTERM does."""
        self._supervisor.stop()
        return "the server stops"


_NO_STACK: Final = "it does not say what it does: it starts, it ends, or the system holds it"


def _name(app: object) -> str:
    return app if isinstance(app, str) else type(app).__name__


def _slot(member: Member) -> tuple[int, int]:
    return member.slot, member.generation


def _describe(member: Member, now: float) -> WorkerStatus:
    beat = member.beat
    return {
        "slot": member.slot,
        "pid": member.pid,
        "generation": member.generation,
        "state": member.state.value,
        "age": now - member.forked,
        "served": int(beat["served"]),
        "connections": int(beat["connections"]),
        "websockets": int(beat["websockets"]),
        "busy": int(beat["busy"]),
        "lag": beat["lag"] if member.serving_since else None,
        "rss": memory(member.pid),
        "cpu": cpu_seconds(member.pid),
    }
