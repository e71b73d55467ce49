"""What becomes of the workers of a supervisor: pure, no system, clock or loop (P1 to P7).

Events come in (`forked`, `receive`, `exited`, `tick`, `scale`, `reload`, `stop`, ...), each with
the time; `take_actions` gives what is to be done. After each event the fleet compares what there is
with what there should be, so it does not matter in which order things go wrong.

    start        one worker first, the others when it has started
    reload       a new generation, held until all of it have started; then it serves, and the old
                 one retires. If one of it cannot start, all of it go, and the old one serves on
    replacement  one worker more, held until it has started; then it serves, and the other retires
    crash        another one, after a pause if it has served for less than `PROVEN_AFTER`
    stop         all stop; when they are gone, it is finished
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from bridge.errors import pluralize
from bridge.server.config.config import Config
from bridge.server.process.channel import Message
from bridge.server.process.fleet.backoff import Backoff
from bridge.server.process.fleet.judging import judge, leave, replace_if_spent
from bridge.server.process.fleet.members import (
    ALIVE,
    Action,
    Announce,
    Finish,
    Gone,
    Member,
    Reloaded,
    State,
    describe_exit,
)
from bridge.server.process.fleet.roster import KILL_GRACE, Roster, seconds

#: Seconds after which a worker has proven that it can serve: then a crash is no failed start.
PROVEN_AFTER: Final = 10.0
#: Seconds that workers have after an order to cut.
CUT_GRACE: Final = 0.5
#: Seconds between two looks at the workers; if it was much longer, the supervisor was held up.
TICK: Final = 1.0
#: Exit codes of a worker that cannot start: wrong usage; the app cannot be loaded or started.
CANNOT_START: Final = (2, 3)
#: How a stop ends that nothing but an order is the reason of.
STOPPED: Final = Finish(0)


class Reload:
    """A reload that is under way: `generation` is held until all of it have started."""

    def __init__(self, generation: int, config: Config, wanted: int, now: float) -> None:
        self.generation = generation
        self.config = config
        self.wanted = wanted
        self.began = now


class Fleet:
    """Decides about the workers of one server; `jitter(n)` gives a number from 0 to n by chance."""

    def __init__(self, config: Config, jitter: Callable[[int], int]) -> None:
        #: The settings of the generation that serves.
        self.config = config
        #: How many workers there should be.
        self.wanted: int = config.workers
        self.generation = 1
        #: The reload that is under way.
        self.reloading: Reload | None = None
        self.roster = Roster(jitter)
        #: It was told to stop. From then on it is not ready any more.
        self.is_stopping = False
        self._backoff = Backoff()
        #: The generations of which a worker has started: the others may start, too.
        self._proven: set[int] = set()
        self._newest = 1
        self._is_announced = False
        #: No worker of the generation can start; a change of the code may help (P9).
        self._waits_for_change = False
        #: When workers are told to stop: after `drain_delay`; when they are killed, after a cut.
        self._stop_at: float | None = None
        self._cut_at: float | None = None
        self._looked = 0.0
        self._finish = STOPPED
        self._is_over = False

    def take_actions(self) -> list[Action]:
        """Return what is to be done, in this order, and forget it."""
        return self.roster.take_actions()

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered, and are to come here."""
        return not self.is_stopping and bool(self.roster.having(State.SERVING))

    @property
    def state(self) -> str:
        """How the server is as a whole, in one word."""
        if self.is_stopping:
            return "stopping" if self._stop_at is None else "draining"
        if self.reloading is not None:
            return "reloading"
        return "serving" if self.is_ready else "starting"

    def next_time(self, now: float) -> float:
        """Return when `tick` is to be called at the latest."""
        times = [each.deadline for each in self.roster if each.deadline is not None]
        times += [each for each in (self._stop_at, self._cut_at) if each is not None]
        times += [self._backoff.until]
        return max(min([self._looked + TICK, *(each for each in times if each > now)]), now)

    # --------------------------------------------------------- events: the workers

    def start(self, now: float) -> None:
        """Start the first worker."""
        self._looked = now
        self._settle(now)

    def forked(self, member: Member, pid: int, now: float) -> None:
        """Note that a worker has been started."""
        member.pid, member.forked, member.heard = pid, now, now

    def fork_failed(self, member: Member, error: str, now: float) -> None:
        """Note that the system has not started a worker; it is tried again later."""
        self.roster.remove(member)
        if not self._gave_up_reload_of(member, f"cannot start a worker: {error}", now):
            pause = seconds(self._backoff.note_failure(now))
            text = f"cannot start a worker: {error}; next try in {pause}"
            self.roster.report(logging.ERROR, text)
        self._settle(now)

    def receive(self, member: Member, message: Message, now: float) -> None:
        """Take a message of a worker; one that does not fit is ignored."""
        member.heard = now
        match message["type"]:
            case "beat":
                member.note_beat(message)
                replace_if_spent(self.roster, member, self.config, now)
            case "started" if member.state is State.STARTING:
                member.state = State.STARTED
                self._proven.add(member.generation)
                self._announce(message.get("app"))
            case "failed":
                member.note_failure(message)
                if member.state in ALIVE:
                    member.deadline = now + KILL_GRACE
            case "retiring" if not member.leaving:
                leave(self.roster, member, str(message.get("why") or "it goes by itself"))
        self._settle(now)

    def _announce(self, lines: object) -> None:
        if not self._is_announced:
            self._is_announced = True
            lines = lines if isinstance(lines, list) else []
            self.roster.add(Announce(tuple(str(line) for line in lines)))

    def exited(self, pid: int, status: int, now: float) -> None:
        """Note the end of a process: its exit code, or minus the number of the signal.

        A stranger means nothing: as PID 1, the supervisor gets all orphans.
        """
        member = self.roster.find(pid)
        if member is None:
            return
        self.roster.remove(member)
        if member.state in ALIVE and not self.is_stopping:
            self._ended_unasked(member, status, now)
        else:
            is_odd = status and member.state is not State.KILLED
            level = logging.WARNING if is_odd else logging.DEBUG
            self.roster.report(level, f"{member.name} {describe_exit(status)}")
            self.roster.add(Gone(member, member.leaving or "told to"))
        self._settle(now)

    def measured(self, member: Member, rss: int | None, now: float) -> None:
        """Note how much memory a worker has; None: the system does not say."""
        member.rss = rss
        replace_if_spent(self.roster, member, self.config, now)

    def tick(self, now: float) -> None:
        """Look at all deadlines. To be called after what has come from the workers was read."""
        held_up, self._looked = now - self._looked - TICK, now
        serving = self.roster.having(State.SERVING)
        if held_up > TICK:  # the whole machine stood still: nobody could be heard
            for member in serving:
                member.heard += held_up
        judge(self.roster, self.config, now)
        proven = [each for each in serving if now - each.serving_since > PROVEN_AFTER]
        if len(proven) >= self.wanted:
            self._backoff.reset()
        self._settle(now)

    # --------------------------------------------------------- events: orders

    def scale(self, wanted: int, now: float) -> None:
        """Have so many workers from now on, at least one."""
        self.wanted = wanted
        if self.reloading is not None:
            self.reloading.wanted = wanted
        self._settle(now)

    def reload(self, config: Config, now: float) -> None:
        """Replace all workers; a reload that is under way is given up: the newest counts."""
        if self.is_stopping:
            self.roster.add(Reloaded("the server stops"))
            return
        self._give_up_reload("another one was ordered", now, logging.INFO)
        self._newest += 1
        number = config.workers if config.workers != self.config.workers else self.wanted
        self.reloading = Reload(self._newest, config, number, now)
        self._settle(now)

    def stop(self, now: float, delay: float = 0.0, finish: Finish = STOPPED) -> None:
        """Stop all workers; they serve for `delay` seconds, in which others may see it coming."""
        if self.is_stopping:
            return
        self._give_up_reload("the server stops", now, logging.INFO)
        self._stop_at = now + (delay if self.is_ready else 0)
        self.is_stopping, self._finish = True, finish
        self._settle(now)

    def cut(self, now: float) -> None:
        """Wait for nothing any more; it was told to stop before."""
        if self._cut_at is not None:
            return
        self._stop_at, self._cut_at, self._finish = now, now + CUT_GRACE, Finish(130)
        self._settle_stop(now)
        self.roster.report(logging.WARNING, "cutting what the stop waits for")
        for member in self.roster:
            self.roster.tell(member, {"type": "cut"})

    # --------------------------------------------------------- what goes wrong

    def _ended_unasked(self, member: Member, status: int, now: float) -> None:
        """It was not told to go: it could not start, has crashed, or goes by itself."""
        what = member.error or describe_exit(status)
        if member.state is State.STARTING and not member.error:
            what += " before it had started"
        what = f"{member.name}: {what}"
        if self._gave_up_reload_of(member, what, now):
            self.roster.add(Gone(member, "reload"))
            return
        code = member.failure or (0 if member.state is State.SERVING else status)
        goes = member.leaving if not status else ""
        self.roster.add(Gone(member, goes or ("start" if code in CANNOT_START else "crash")))
        nobody = not self.roster.having(State.SERVING, State.STARTED)
        if code in CANNOT_START and nobody and self.reloading is None:
            told = f"{member.name} could not start" if member.error else what  # that is printed
            if self.config.reload:
                self._waits_for_change = True
                self.roster.report(logging.ERROR, f"{told}: waiting until a file changes")
                return
            said_all = member.error and not self._is_announced  # its error is all there is to say
            level = logging.DEBUG if said_all else logging.ERROR
            self.roster.report(level, f"{told}; no worker serves: the server ends")
            self.stop(now, finish=Finish(code, what))
        elif goes:
            self.roster.report(logging.INFO, f"{member.name} has gone ({goes}); starting another")
        elif member.state is State.SERVING and now - member.serving_since > PROVEN_AFTER:
            self.roster.report(logging.ERROR, f"{what}; starting another")
        else:
            pause = seconds(self._backoff.note_failure(now))
            self.roster.report(logging.ERROR, f"{what}; starting another in {pause}")

    def _gave_up_reload_of(self, member: Member, why: str, now: float) -> bool:
        """Give up the reload if it is one of its workers that has failed; return whether it is."""
        reload = self.reloading
        if reload is None or member.generation != reload.generation:
            return False
        self._give_up_reload(why, now)
        return True

    def _give_up_reload(self, why: str, now: float, level: int = logging.ERROR) -> None:
        """Let the workers go that were held until all had started; the old ones serve on."""
        reload, self.reloading = self.reloading, None
        if reload is None:
            return
        for member in self.roster.having(*ALIVE, generation=reload.generation):
            self.roster.stop(member, reload.config, now)
        waits = self._waits_for_change
        rest = "waiting until a file changes" if waits else "the old workers serve on"
        self.roster.report(level, f"the reload was given up, and {rest}: {why}")
        self.roster.add(Reloaded(why))

    # --------------------------------------------------------- what there should be

    def _settle(self, now: float) -> None:
        """Bring what there is closer to what there should be."""
        if self.is_stopping:
            self._settle_stop(now)
            return
        for member in self.roster.having(State.STARTED, generation=self.generation):
            self.roster.serve(member, self.config, now)
            serving = len(self.roster.having(State.SERVING, generation=self.generation))
            text = f"{member.name} serves ({serving} of {self.wanted})"
            self.roster.report(logging.INFO, text)
        reload = self.reloading
        if reload is not None:
            needed = reload.wanted if self.roster.having(State.SERVING) else 1
            if len(self.roster.having(State.STARTED, generation=reload.generation)) >= needed:
                self._complete(reload, now)
            else:
                self._fill(reload.generation, reload.config, reload.wanted, now)
        if not self._waits_for_change:
            self._fill(self.generation, self.config, self.wanted, now)
        if self.reloading is None:
            self._replace_one(now)

    def _complete(self, reload: Reload, now: float) -> None:
        """Have the new generation serve, and the old one retire."""
        started = self.roster.having(State.STARTED, generation=reload.generation)
        before = self.roster.having(*ALIVE, generation=self.generation)
        self.reloading, self.generation = None, reload.generation
        self.config, self.wanted = reload.config, reload.wanted
        self._backoff.reset()
        self._waits_for_change = False
        for member in started:
            self.roster.serve(member, self.config, now)
        for member in before:
            member.leaving = "reload"
            self.roster.retire(member, self.config, now)
        workers, taken = pluralize(len(started), "new worker"), seconds(now - reload.began)
        self.roster.report(
            logging.INFO, f"reloaded: {workers} after {taken}; the old ones finish what they do"
        )
        self.roster.add(Reloaded())

    def _fill(self, generation: int, config: Config, wanted: int, now: float) -> None:
        """Start as many workers as are missing, or let go of those that are too many."""
        alive = self.roster.having(*ALIVE, generation=generation)
        alive = [each for each in alive if each.replaces is None]
        if generation not in self._proven:
            wanted = 1  # if it cannot start, its error is shown once
        is_new = generation != self.generation  # then a failure ends the reload: no pause is needed
        if is_new or self._backoff.is_over(now):
            for _ in range(wanted - len(alive)):
                self.roster.fork(generation, config, now)
        # Those go first that have to go anyway, then the newest.
        alive.sort(key=lambda each: (not each.leaving, -each.forked, -each.slot))
        for member in alive[: max(len(alive) - wanted, 0)]:
            member.leaving = "fewer workers are wanted"
            self.roster.retire(member, config, now)

    def _replace_one(self, now: float) -> None:
        """Start a worker in the place of one that is to go; one at a time."""
        if self.roster.is_replacing or not self._backoff.is_over(now):
            return
        for member in self.roster.having(State.SERVING, generation=self.generation):
            if member.leaving:
                self.roster.fork(self.generation, self.config, now).replaces = member
                return

    def _settle_stop(self, now: float) -> None:
        """Tell the workers to stop when it is time, and finish when they are gone."""
        if self._stop_at is not None and now >= self._stop_at:
            self._stop_at = None
            for member in self.roster:
                self.roster.stop(member, self.config, now)
        if self._cut_at is not None and now >= self._cut_at:
            for member in self.roster.having(*ALIVE, State.RETIRING):
                self.roster.kill(member, now, shows_stack=False)
        if self._stop_at is None and all(each.is_lost(now) for each in self.roster):
            if not self._is_over:
                self.roster.add(self._finish)
            self._is_over = True
