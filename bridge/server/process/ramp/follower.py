"""The cutovers in a worker: they do as its supervisor says, and tell what they count (M3, M21).

loaded -> `about` (with "started") -> "routes" (before "serve", and with each change)
-> "routes-set", and `counts` with each beat

What a beat has not told yet, and what is open, is on a board that outlives the worker.
"""

from __future__ import annotations

from threading import Thread

from bridge.cutover.app import Cutover
from bridge.cutover.canary.counts import Sides
from bridge.cutover.canary.hook import Rollback, call_hook
from bridge.cutover.canary.live import CountingCanary, has_gate
from bridge.cutover.observed.board import Board
from bridge.cutover.route import CANARY
from bridge.cutover.settings_file import parse_plan
from bridge.cutover.switches import Modes
from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.apps.mounts import cutovers_of
from bridge.server.metrics.figures import Figures
from bridge.server.process.channel import Message
from bridge.server.process.ramp.rows import row_of
from bridge.server.process.ramp.totals import told
from bridge.server.process.stacks import StackFile
from bridge.types import ASGIApp


class Follower:
    """The cutovers in `app`; `stacks` has the memory for a board. None: there is none."""

    def __init__(self, app: ASGIApp, stacks: StackFile | None = None) -> None:
        self._cutovers: list[Cutover] = [*dict.fromkeys(cutovers_of(app))]
        self._stacks = stacks
        self._board: Board | None = None
        #: Hooks that the supervisor does not know to be over; None: there was nothing to call.
        self._hooks: dict[int, Thread | None] = {}
        #: The number of what is in force, and the texts of the files as they were told last.
        self._serial = 0
        self._texts: dict[str, str] = {}
        #: The text whose rows each one has.
        self._in_force: dict[Cutover, str] = {}
        #: What is wrong, until a text without that comes.
        self._errors: list[str] = []

    @property
    def serial(self) -> int:
        """The number of what is in force."""
        return self._serial

    def about(self) -> Message:
        """Return what the supervisor is to know before the worker serves."""
        return {
            "cutovers": [
                {
                    "path": None if each.file is None else each.file.path,
                    "routes": [row_of(route) for route in each.table.routes],
                }
                for each in self._cutovers
            ],
            "new_failed": next((each.new_failed for each in self._cutovers if each.new_failed), ""),
        }

    def counts(self) -> Message:
        """Return what was counted since the last call, and what was in force then."""
        found: dict[str, Sides] = {}
        for each in self._cutovers:
            each.flights.look()
            if isinstance(each.canary, CountingCanary):
                for name, sides in each.canary.take().items():
                    found.setdefault(name, Sides.empty()).add(sides)
        counts = {
            name: [side.as_json() for side in sides]
            for name, sides in found.items()
            if any(side.requests for side in sides)
        }
        return {"serial": self._serial, "counts": counts}

    def beat(self, figures: Figures | None) -> Message:
        """Return what goes with a beat: `counts` to judge by, and `totals`."""
        hooks = [*self._hooks.items()]
        over = [number for number, hook in hooks if hook is None or not hook.is_alive()]
        for number in over:
            del self._hooks[number]
        return {**self.counts(), "totals": self.totals(figures), "hooks": over}

    def close(self) -> None:
        """Leave nothing behind: all was told."""
        if self._board is not None:
            self._board.clear()

    def totals(self, figures: Figures | None) -> Message:
        """Return what was counted since the start, for a person to see."""
        rescued: dict[str, int] = {}
        copies: dict[str, dict[str, int]] = {}
        for each in self._cutovers:
            if isinstance(each.canary, CountingCanary):
                _add(rescued, each.canary.rescues)
            if each.copies is not None:
                for route, counts in each.copies.counts().items():
                    _add(copies.setdefault(route, {}), counts)
        sides = [] if figures is None else told(figures.by_route())
        return {"sides": sides, "rescued": rescued, "copies": copies}

    def obey(self, message: Message) -> Message:
        """Have in force what the supervisor says; return what it is told then."""
        self._texts.update(message["texts"])
        errors = []
        taken: set[str] = set()
        for each in self._cutovers:
            modes = {
                name: tuple(mode) for name, mode in message["modes"].items() if name not in taken
            }
            errors += self._switch(each, modes)
            taken.update(route.name for route in each.table.routes)
            if isinstance(each.canary, CountingCanary):
                each.canary.follow()
        for line in errors:
            if line not in self._errors:
                logger.error("the routes stay as they were: %s", line)
        self._serial, self._errors = message["serial"], errors
        self._note_routes()
        return {
            "type": "routes-set",
            "serial": self._serial,
            "error": "; ".join(errors),
            "looks": any(each.conflicts.is_looking for each in self._cutovers),
        }

    def _note_routes(self) -> None:
        """Have what is counted from now on noted on the board, too."""
        counting = [
            (each, each.canary)
            for each in self._cutovers
            if isinstance(each.canary, CountingCanary)
        ]
        gated = [
            route
            for each, _ in counting
            for route in each.table.routes
            if route.mode == CANARY and has_gate(route)
        ]
        if self._board is None:
            if not gated or self._stacks is None:
                return
            try:
                self._board = Board(self._stacks.map_board())
            except OSError as error:
                logger.warning("what is lost with this worker will not be counted: %s", error)
                self._stacks = None
                return
        self._board.follow(gated, self._serial)
        for each, canary in counting:
            each.flights.board = canary.board = self._board

    def _switch(self, cutover: Cutover, modes: Modes) -> list[str]:
        """Have the newest rows in force, else those there are; return what is wrong."""
        path = "" if cutover.file is None else cutover.file.path
        text = self._texts.get(path)
        errors = []
        if text is not None and text != self._in_force.get(cutover):
            try:
                cutover.switches.obey(modes, parse_plan(text).routes)
            except ConfigError as error:  # such as a hook that this code does not have
                errors.append(f"{path}: {error}")
            else:
                self._in_force[cutover] = text
                return []
        try:
            cutover.switches.obey(modes)
        except ConfigError as error:
            errors.append(str(error))
        return errors

    def rolled_back(self, message: Message) -> None:
        """Call the hook of a route that was taken back."""
        name = message["route"]
        hook = None
        found = (each.table.route(name) for each in self._cutovers)
        route = next((each for each in found if each is not None), None)
        if route is not None and route.canary is not None and route.canary.on_rollback is not None:
            event = Rollback(name, message["reason"], message["share"])
            hook = call_hook(route.canary.on_rollback, event)
        self._hooks[message["id"]] = hook


def _add(counts: dict[str, int], more: dict[str, int]) -> None:
    """Add what another cutover has counted under the same names."""
    for name, count in more.items():
        counts[name] = counts.get(name, 0) + count
