"""The ramp of a server with workers: it decides, and they follow (M3, M21).

    a worker has started   -> it tells of its cutovers and their routes
    it is to serve         -> it is told what is in force, before it takes a connection
    each beat              -> it tells what it has counted
    once a second          -> gates and steps are looked at; what changes is told to all workers

    it dies                -> what it has left on its board is counted, and looked at

So the decision is the same in every worker. What is in force has a number, `serial`: a worker says
by it what it follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from bridge.errors import ConfigError, pluralize
from bridge.log import logger
from bridge.server.config.config import Config
from bridge.server.metrics.snapshot import Snapshot
from bridge.server.process.channel import Message
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import Action, Fork, Gone, Member, State
from bridge.server.process.ramp.heard import NOBODY, Heard, Waiting
from bridge.server.process.ramp.hooks import Hooks
from bridge.server.process.ramp.sources import Sources, warn_of_more
from bridge.server.process.ramp.totals import Lost, Totals
from bridge.server.process.stacks import StackFile

#: Seconds from one look to the next.
PERIOD: Final = 1.0
#: Seconds for the workers to follow an order, until its answer says who has not.
PATIENCE: Final = 2.0


class Ramp:
    """The supervisor's part of all cutovers.

    `tell` sends a message to a worker; `stacks` returns the file that has the board of one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fleet: Fleet,
        tell: Callable[[Member, Message], None],
        stacks: Callable[[Member], StackFile | None] = lambda member: None,
    ) -> None:
        self._loop = loop
        self._fleet = fleet
        self._tell = tell
        self._stacks = stacks
        self._hooks = Hooks(tell)
        #: Of the generation that serves, which is this one, and of the next.
        self._now = Sources()
        self._generation = 1
        self._next = Sources()
        self._next_generation = 1
        #: The serial that was in force when the files were read for the next one.
        self._read_at = 0
        #: None: the app has no cutover.
        self._decider: Any = None
        self._serial = 0
        self._heard: dict[Member, Heard] = {}
        self._totals: Totals[Member] = Totals()
        #: Routes whose file does not say what was decided -> why.
        self._not_kept: dict[str, str] = {}
        self._orders: list[Waiting] = []
        self._next_look: asyncio.TimerHandle | None = None

    def open(self, config: Config) -> None:
        """Read the file that `config` names. Raises `ConfigError`."""
        self._now = Sources.read(config, self._now)
        if self._now.texts:
            self._use(self._now)

    def close(self) -> None:
        """Look at nothing any more."""
        if self._next_look is not None:
            self._next_look.cancel()

    # --------------------------------------------------------- what happens to the workers

    def reload(self, config: Config) -> None:
        """Read the files again, for the next generation. Raises `ConfigError`.

        To be called once for each generation that is begun, also if it comes to nothing.
        """
        self._next = Sources.read(config, self._now)
        self._next_generation += 1
        self._read_at = self._serial

    def forking(self, fork: Fork) -> None:
        """Have the process that is forked now know what the files say."""
        sources = self._of(fork.member)
        if sources.texts or self._now.texts:
            sources.give()

    def welcome(self, member: Member) -> None:
        """Tell a worker that is about to serve what is in force."""
        if member.generation > self._generation:
            self._now, self._generation, self._next = self._next, member.generation, Sources()
            if self._now.is_told and not self._now.has_cutover:
                self.close()
                self._decider = None  # what the release before had is over
                self._not_kept.clear()
            elif self._decider is not None or self._now.is_told:
                self._use(self._now, self._read_at)  # much may have been decided since
                self._decider.begin_release(self._loop.time())
        if self._decider is not None:
            self._tell_routes(member)
            self._hooks.serves(member)

    def note(self, action: Action) -> None:
        """Note what is done for the fleet."""
        if isinstance(action, Gone):
            member = action.member
            self._heard.pop(member, None)
            lost = self._count_lost(member)
            self._totals.note_gone(member, lost)
            self._answer_orders()
            self._hooks.gone(member, self._fleet.roster.having(State.SERVING))
            if lost:
                self._judge()

    def _count_lost(self, member: Member) -> list[Lost]:
        """Count what a worker has taken with it that was not to go."""
        stacks = self._stacks(member)
        if self._decider is None or stacks is None or self._fleet.is_stopping:
            return []
        if member.was_told_to_end or member.generation < self._generation:
            return []
        lost: list[Lost] = self._decider.lost(stacks.read_board(), self._loop.time())
        return lost

    def hear(self, member: Member, message: Message) -> None:
        """Take what a worker has said."""
        match message:
            case {"type": "started", "ramp": {"cutovers": list(cutovers), "new_failed": failed}}:
                self._heard[member] = Heard(new_failed=str(failed))
                if self._of(member).learn(cutovers) and member.generation == self._generation:
                    self._use(self._now)
            case {"type": "started"}:
                self._of(member).learn(())
            case {"type": "beat" | "counts", "ramp": {"serial": int(serial), "counts": counts}}:
                # What the release before is still counting says nothing of the one that serves.
                if self._decider is not None and member.generation >= self._generation:
                    self._decider.count(counts, serial, self._loop.time())
                if totals := message["ramp"].get("totals"):
                    self._totals.note(member, totals)
                self._hooks.over(member, message["ramp"].get("hooks", ()))
            case {"type": "routes-set", "serial": int(serial)}:
                heard = self._heard.setdefault(member, Heard())
                heard.serial, heard.error = serial, str(message.get("error", ""))
                self._answer_orders()

    def _of(self, member: Member) -> Sources:
        if member.generation == self._generation:
            return self._now
        if member.generation == self._next_generation:
            return self._next
        return Sources()  # of a reload that was given up

    # --------------------------------------------------------- what is in force

    def _use(self, sources: Sources, read_at: int | None = None) -> str:
        """Have the routes of these in force, and what was decided beside them, or since.

        Return what is wrong, which the log says, too.
        """
        if self._decider is None:
            module = import_module("bridge.server.process.ramp.decider")  # few servers need it
            self._decider = module.Decider()
            self._next_look = self._loop.call_later(PERIOD, self._look)
        try:
            self._decider.use(sources.routes(), self._serial + 1, self._loop.time(), read_at)
        except ConfigError as error:
            logger.error("the routes stay as they were: %s", error)
            return str(error)
        decided = self._decider.decided
        self._not_kept = {name: why for name, why in self._not_kept.items() if name in decided}
        self._tell_all()
        return ""

    def _tell_all(self) -> None:
        """Tell all workers that serve: what is in force is another one."""
        self._serial += 1
        for member in self._fleet.roster.having(State.SERVING, State.RETIRING):
            self._tell_routes(member)

    def _tell_routes(self, member: Member) -> None:
        """Tell a worker what is in force; of the files, those it has not been told yet."""
        known = self._heard.setdefault(member, Heard()).texts
        news = {path: text for path, text in self._now.texts.items() if known.get(path) != text}
        known.update(news)
        modes = self._decider.modes()
        self._tell(
            member, {"type": "routes", "serial": self._serial, "texts": news, "modes": modes}
        )

    def _look(self) -> None:
        """Judge what was counted; what changes is in force in all workers at once."""
        self._next_look = self._loop.call_later(PERIOD, self._look)
        self._judge()

    def _judge(self) -> None:
        changes = self._decider.look(self._serial + 1, self._loop.time())
        if not changes:
            return
        self._tell_all()
        for change in changes:
            if change.share is None:
                self._keep(change.route)
                self._hooks.call(change, self._fleet.roster.having(State.SERVING))

    def _keep(self, name: str) -> None:
        """Write into the file that a route was taken back, if that can be done."""
        error = self._write(name, "old", None)
        self._not_kept[name] = error
        if error:
            logger.warning(
                "route %s is on the old app, and its file does not say so: %s", name, error
            )

    def _write(self, name: str, mode: str, share: object) -> str:
        """Switch a route in its file, and in the text that is kept; return what is wrong."""
        path = self._now.path_of(name)
        if path is None:
            return "it is in the code of the app, which the server does not change"
        editing = import_module("bridge.cutover.editing")
        try:
            editing.switch_in_file(path, name, mode, share)
            row = self._now.switch(path, name, mode, share)
        except ConfigError as error:
            return str(error)
        self._next.switch_too(path, name, mode, share)
        self._decider.note_row(row)
        return ""

    # --------------------------------------------------------- orders

    def switch(self, name: str, mode: str, share: object, by: str = "") -> asyncio.Future[str]:
        """Switch a route in all workers, and in its file; the future says how many follow.

        It is in force also if it cannot be kept in the file. Raises `ConfigError`.
        """
        if self._decider is None:
            raise ConfigError(_NO_CUTOVER)
        wrong = "" if name in self._decider.modes() else self._find(name)
        try:
            text = self._decider.set(name, mode, share, self._serial + 1, self._loop.time(), by)
        except ConfigError as error:
            raise ConfigError(f"{error}; {wrong}" if wrong else str(error)) from None
        self._tell_all()  # first of all: to keep it may take a while
        note = self._not_kept[name] = self._keep_order(name)
        answer: asyncio.Future[str] = self._loop.create_future()
        self._orders.append(Waiting(self._serial, text, answer, note))
        limit = self._loop.call_later(PATIENCE, self._answer_orders, self._serial)
        answer.add_done_callback(lambda _: limit.cancel())
        self._answer_orders()
        return answer

    def _find(self, name: str) -> str:
        """Have in force the file that has a route since it was read; return what is wrong."""
        settings_file = import_module("bridge.cutover.settings_file")
        wrong = []
        for path in [*self._now.texts]:
            try:
                text = settings_file.read_text(path)
                names = {each.name for each in settings_file.plan_of(path, text).routes}
            except ConfigError as error:
                wrong.append(str(error))
                continue
            if name in names:
                return self._take(path, text)
        return "; ".join(wrong)

    def _keep_order(self, name: str) -> str:
        """Write into its file how a route was switched; have in force what else that says.

        Return what is wrong.
        """
        path = self._now.path_of(name)
        if path is None:
            return "it is in the code of the app, and lasts until the server ends"
        editing = import_module("bridge.cutover.editing")
        mode, share = self._decider.modes()[name]
        before = self._now.texts[path]
        try:
            _, text = editing.switch_and_read(path, name, mode, share)
        except ConfigError as error:
            return str(error)
        if self._next.texts.get(path) == before:
            self._next.texts[path] = text
        else:
            self._next.switch_too(path, name, mode, share)
        return self._take(path, text, self._serial - 1)

    def _take(self, path: str, text: str, read_at: int | None = None) -> str:
        """Have in force what a file says now; return what is wrong. `read_at` as in `_use`."""
        before = self._now.texts[path]
        self._now.texts[path] = text
        if error := self._use(self._now, read_at):
            self._now.texts[path] = before
            return error
        warn_of_more(path, before, text)
        return ""

    def _answer_orders(self, late: int = 0) -> None:
        """Answer the orders that all workers follow; `late`: also those up to this serial."""
        serving = self._fleet.roster.having(State.SERVING)
        left = []
        for order in self._orders:
            follow = [
                each for each in serving if self._heard.get(each, NOBODY).serial >= order.serial
            ]
            if len(follow) < len(serving) and order.serial > late:
                left.append(order)
            elif not order.answer.done():
                order.answer.set_result(self._answer(order, len(follow), serving))
        self._orders = left

    def _answer(self, order: Waiting, follow: int, serving: list[Member]) -> str:
        text = order.text
        starting = max(self._fleet.wanted - len(serving), 0)
        if serving or starting:
            more = f", {starting} still to start" if starting else ""
            text += f" ({follow} of {pluralize(len(serving) + starting, 'worker')}{more})"
        errors = {self._heard[each].error for each in serving if each in self._heard} - {""}
        for note in sorted(errors):
            text += f"; {note}"
        return f"{text}; it is not kept: {order.note}" if order.note else text

    # --------------------------------------------------------- what is told

    def status(self) -> dict[str, Any]:
        """Describe what is in force, and how it goes. Raises `ConfigError` without a cutover."""
        if self._decider is None:
            raise ConfigError(_NO_CUTOVER)
        described = import_module("bridge.server.process.ramp.standing").described
        totals, now = self._totals.sum(), self._loop.time()
        workers = {
            each: self._heard.get(each, NOBODY) for each in self._fleet.roster.having(State.SERVING)
        }
        failed = {heard.new_failed for heard in workers.values()} - {""}
        return {
            "routes": [
                described(
                    each,
                    self._decider.standing(each.name, now),
                    totals,
                    self._not_kept.get(each.name, ""),
                )
                for each in self._decider.routes
            ],
            "serial": self._serial,
            "new_failed": "; ".join(sorted(failed)),
            "workers": [
                {
                    "pid": member.pid,
                    "follows": heard.serial == self._serial,
                    "error": heard.error,
                    "new_failed": bool(heard.new_failed),
                }
                for member, heard in workers.items()
            ],
        }

    def figures(self) -> Snapshot:
        """Return what the ramp counts itself."""
        return {} if self._decider is None else dict(self._decider.figures(self._loop.time()))


_NO_CUTOVER: Final = "this server has no cutover; start it with --cutover FILE"
