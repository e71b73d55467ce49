"""The supervisor: the process that was started, if several serve (P1, P3 to P7).

It opens the sockets, forks workers, watches them and takes orders. It never imports the app, so no
fault of the app can stop it. What is to be done is decided by the `Fleet`; here it is carried out.

    run the loop until a worker is to be forked or all are gone -> fork -> run the loop ...
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Callable, Sequence
from functools import partial

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.apps.hooks import load_hook
from bridge.server.config.config import Config
from bridge.server.control.usage import memory
from bridge.server.lifecycle.announcement import about_workers
from bridge.server.lifecycle.signals import Signals
from bridge.server.lifecycle.terminal import Terminal
from bridge.server.logs.loggers import configure_logging, lose_what_waits, reopen_log_files
from bridge.server.network.listeners import Listener, banner, open_listeners
from bridge.server.process.channel import Message
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import (
    Action,
    Announce,
    Finish,
    Fork,
    Gone,
    Kill,
    Member,
    Reloaded,
    Report,
    State,
    Tell,
    Terminate,
)
from bridge.server.process.fleet.roster import Roster
from bridge.server.process.forking import ForkingLoop, refuse_fork_here
from bridge.server.process.links import Links, RunWorker, be_worker
from bridge.server.process.monitoring import Monitoring
from bridge.server.process.orders.desk import Desk
from bridge.server.process.preload.templates import Templates
from bridge.server.process.ramp.ramp import Ramp
from bridge.server.process.rereading import Reread, next_config
from bridge.server.process.watcher import Watcher


class Supervisor:
    """Several processes that serve one app. `reread` gives the settings for a reload."""

    def __init__(
        self, config: Config, run_worker: RunWorker, *, reread: Reread | None = None
    ) -> None:
        self.config = config
        self.listeners: Sequence[Listener] = ()
        self.fleet = Fleet(config, lambda most: random.randint(0, most))
        self._run_worker = run_worker
        self._reread = reread
        self._forking = ForkingLoop()
        self._templates = Templates(self._forking, self._forked)
        self.links = Links(self.loop, self._hear)
        self._terminal = Terminal()
        self.ramp = Ramp(self.loop, self.fleet, self.links.tell, self.links.stacks)
        self._monitoring = Monitoring(self.fleet, self.ramp.figures)
        self._forks: list[Fork] = []
        self._finish: Finish | None = None
        #: Set when a worker is to be forked, or all is over.
        self._is_due = asyncio.Event()
        self._next_tick: asyncio.TimerHandle | None = None
        self._desk = Desk(self, self._monitoring.figures)
        self._watcher = Watcher(self.loop, self._reload_if_possible)
        #: Who waits for the reload that is under way.
        self._reloads: list[asyncio.Future[str]] = []

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that everything here runs on."""
        return self._forking.loop

    # --------------------------------------------------------- the whole story

    def run(self, *, last: bool = False) -> Finish:
        """Serve until told to stop; return how it has ended. `last` is that of `Signals`.

        Raises `ConfigError` if it cannot start, `AppLoadError` if there is no hook `on_start`.
        """
        try:
            refuse_fork_here("a server with several processes")
            configure_logging(self.config)
            self.ramp.open(self.config)
            lose_what_waits()  # a worker that is stuck, or who reads the log, holds up nobody
            self._templates.open(self.config)
            load_hook("on_start", self.config.on_start, self.config)()
            self.listeners = open_listeners(self.config)
            with Signals(self._table(), in_children=signal.SIG_DFL, last=last):
                self._forking.run(self._monitoring.open(self.config))
                self._forking.run(self._desk.open())
                self._watcher.start(self.config, self._forking, self.listeners, self._table())
                self.fleet.start(self.loop.time())
                self._reap()  # strangers that have ended before
                while (fork := self._forking.run(self._next_fork())) is not None:
                    self._fork(fork)
                assert self._finish is not None
                return self._finish
        finally:
            self._close_listeners()
            self._monitoring.close()
            self.ramp.close()
            self._desk.close()
            self._watcher.close()
            self._templates.close()
            self._forking.close()

    async def _next_fork(self) -> Fork | None:
        """Wait until a worker is to be forked; None: it is over."""
        while self._finish is None:
            for index, fork in enumerate(self._forks):
                if self._templates.can_fork(fork):
                    return self._forks.pop(index)
            self._is_due.clear()
            await self._is_due.wait()
        return None

    def _fork(self, fork: Fork) -> None:
        member = fork.member
        if self.fleet.roster.by_slot.get(member.slot) is not member:
            return  # it is not wanted any more
        self.ramp.forking(fork)
        try:
            ends = self.links.make()
            try:
                if fork.config.preload:
                    pid = self._templates.fork(fork, ends, self.listeners, self._table())
                else:
                    child = partial(be_worker, self._run_worker, fork, self.listeners, ends)
                    pid = self._forking.fork(child, self._table())
            except BaseException:
                ends.close()
                raise
        except (
            OSError,
            RuntimeError,
            ConfigError,
        ) as error:  # no memory, descriptors, processes, or seats
            self.fleet.fork_failed(member, str(error), self.loop.time())
        else:
            self.fleet.forked(member, pid, self.loop.time())
            self.links.add(member, ends)
        self.carry_out()

    def _forked(self, member: Member, pid: int, error: str) -> None:
        """Take what has come of a fork by a template; 0: nothing, and `error` says why."""
        is_wanted = self.fleet.roster.by_slot.get(member.slot) is member
        if pid and not is_wanted:
            os.kill(pid, signal.SIGKILL)
        elif pid:
            self.fleet.forked(member, pid, self.loop.time())
            if member.told_to_stop:  # when the template still stood for it
                os.kill(pid, signal.SIGTERM)
        elif is_wanted:
            self.fleet.fork_failed(member, error, self.loop.time())
        if not (pid and is_wanted):
            self.links.remove(member)
        self._is_due.set()  # the template may fork the next one
        self.loop.call_soon(self.carry_out)

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        self.listeners = ()

    # --------------------------------------------------------- what the fleet decides

    def carry_out(self) -> None:
        """Do what the fleet wants, and look again in time. To be called after each event."""
        for action in self.fleet.take_actions():
            try:
                self._monitoring.note(action)
                self._do(action)
            except Exception:  # nothing may end the process that all others depend on
                logger.exception("the supervisor could not do this: %s", action)
        if self.fleet.state == "stopping":
            self._close_listeners()  # the workers have been told: the system refuses connections
        self._templates.keep(self.fleet)
        if self._next_tick is not None:
            self._next_tick.cancel()
        now = self.loop.time()
        self._next_tick = self.loop.call_at(self.fleet.next_time(now), self._tick)

    def _do(self, action: Action) -> None:
        self._desk.note(action)
        self.ramp.note(action)
        match action:
            case Fork():
                self._forks.append(action)
                self._is_due.set()
            case Tell(member, message):
                if message["type"] == "serve":
                    self.ramp.welcome(member)
                self.links.tell(member, message)
            case Terminate(member):
                _send_signal(self.fleet.roster, member, signal.SIGTERM)
            case Kill(member, shows_stack):
                stacks = self.links.stacks(member)
                if shows_stack and stacks is not None:
                    stacks.read(member.pid).add_done_callback(partial(self._kill, member))
                else:
                    _send_signal(self.fleet.roster, member, signal.SIGKILL)
            case Gone(member):
                self.links.remove(member)
            case Announce(lines):
                workers = about_workers(self.config, self.fleet.wanted)
                for line in (*lines, workers, banner(self.listeners)):
                    logger.info(line)
            case Reloaded(error):
                self._end_reload(error)
            case Report(level, text):
                logger.log(level, text)
            case _:
                if not action.error:
                    logger.info("stopped")
                self._finish = action
                self._is_due.set()

    def _tick(self) -> None:
        """Look at deadlines, after all that has come by now was read: in the loop's next turn."""
        self.loop.call_soon(self.loop.call_soon, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        if self.fleet.config.max_rss:
            for member in self.fleet.roster.having(State.SERVING):
                self.fleet.measured(member, memory(member.pid), now)
        self.fleet.tick(now)
        self.carry_out()

    # --------------------------------------------------------- workers

    def _hear(self, member: Member, messages: list[Message]) -> None:
        """Take what a worker has said."""
        self._templates.read()
        for message in messages:
            try:
                self.ramp.hear(member, message)
                self.fleet.receive(member, message, self.loop.time())
                self._desk.hear(message)
            except Exception:  # it may be out of its mind; the others are not
                logger.exception("%s said what cannot be understood", member.name)
        self.carry_out()

    def _reap(self) -> None:
        """Take note of all processes that have ended: workers, and, as PID 1, strangers."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            self._templates.reaped(pid)
            member = self.fleet.roster.find(pid)
            if member is not None:
                self.links.read(member)  # its last words
            self.fleet.exited(pid, os.waitstatus_to_exitcode(status), self.loop.time())
        self.carry_out()

    def _kill(self, member: Member, stacks: asyncio.Future[str]) -> None:
        """Kill a worker; log first where it stands."""
        if not stacks.cancelled():
            text = stacks.result() or "(nobody knows where: it does not answer)"
            logger.error("%s stood here:\n%s", member.name, text)
        _send_signal(self.fleet.roster, member, signal.SIGKILL)

    # --------------------------------------------------------- signals

    def _table(self) -> dict[int, Callable[[], object]]:
        """Return what to do for each signal."""
        actions: dict[int, Callable[[], object]] = {
            signal.SIGCHLD: self._reap,
            signal.SIGTERM: self.stop,
            signal.SIGINT: self._interrupt,
            signal.SIGHUP: self._on_hang_up,
            signal.SIGUSR1: self.reopen_logs,
            signal.SIGUSR2: self._show_all,
            signal.SIGTTIN: partial(self._scale_by, 1),
            signal.SIGTTOU: partial(self._scale_by, -1),
        }
        # A handler runs between any two steps: the loop is woken, and does it.
        soon = self.loop.call_soon_threadsafe
        return {number: partial(soon, action) for number, action in actions.items()}

    def _interrupt(self) -> None:
        """Stop; a second time: at once."""
        if self.fleet.is_stopping:
            self.fleet.cut(self.loop.time())
            self.carry_out()
        else:
            self.stop()

    def _on_hang_up(self) -> None:
        """Reload; if it is because the terminal has been closed, stop."""
        if self._terminal.is_closed():
            logger.warning("the terminal was closed: stopping")
            self.stop()
        else:
            self._reload_if_possible()

    def _reload_if_possible(self) -> None:
        with contextlib.suppress(ConfigError):  # it has been logged
            self.reload()

    def _scale_by(self, more: int) -> None:
        wanted = self.fleet.wanted + more
        if wanted < 1:
            logger.warning("SIGTTOU: one worker is the least")
            return
        self.scale(wanted)

    def _show_all(self) -> None:
        """Have each worker log its figures, and log where it stands."""
        self.links.tell_all({"type": "stats"})
        self._desk.stacks().add_done_callback(_log_stacks)

    # --------------------------------------------------------- orders

    def stop(self) -> None:
        """Stop all workers gracefully, and end; more of these change nothing."""
        if not self.fleet.is_stopping:
            self._monitoring.stopping()
            delay = self.config.drain_delay
            if delay and self.fleet.is_ready:
                logger.info("not ready any more; it stops in %g s", delay)
                self.links.tell_all({"type": "drain"})
            self.fleet.stop(self.loop.time(), delay=delay)
            self.carry_out()

    def scale(self, wanted: int) -> None:
        """Have so many workers from now on."""
        logger.info("workers wanted from now on: %d (before: %d)", wanted, self.fleet.wanted)
        self.fleet.scale(wanted, self.loop.time())
        self.carry_out()

    def reload(self) -> asyncio.Future[str]:
        """Replace all workers by new ones; the future gives an error, empty if it has worked.

        Raises `ConfigError` if the settings cannot be read again.
        """
        logger.info("reloading")
        self._monitoring.reloading()
        begins = False
        try:
            if self.fleet.is_stopping:
                raise ConfigError("the server stops")
            config = next_config(self.fleet.config, self._reread)
            self.ramp.reload(config)
            begins = True
        except ConfigError as error:
            logger.error("no reload, the workers stay as they are: %s", error)
            raise
        finally:
            if not begins:
                self._monitoring.reloaded()
        self.fleet.reload(config, self.loop.time())
        self.carry_out()  # one that was under way is over
        self._reloads.append(done := self.loop.create_future())
        return done

    def _end_reload(self, error: str) -> None:
        for done in self._reloads:
            done.set_result(error)
        self._reloads.clear()

    def reopen_logs(self) -> None:
        """Open log files again, here and in each worker."""
        reopen_log_files()
        self._templates.reopen_logs()
        self.links.tell_all({"type": "reopen-logs"})


def _log_stacks(stacks: asyncio.Future[dict[int, str]]) -> None:
    for pid, text in stacks.result().items():
        logger.info("worker %d stands here:\n%s", pid, text)


def _send_signal(roster: Roster, member: Member, number: int) -> None:
    """Send a signal, unless the worker is gone: its pid may be another's by now."""
    if roster.find(member.pid) is member:
        os.kill(member.pid, number)
