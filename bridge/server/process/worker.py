"""A worker: a process that its supervisor has forked, and that runs one server (P1 to P7).

    import the app -> lifespan startup -> "started" -> told to serve -> "serving", a beat a second
    -> told to retire (others take over) or to stop (all of them do) -> lifespan shutdown -> exit

The supervisor says what to do, over the channel. A worker that is told by a signal (SIGTERM) says
that it would like to go, and serves until another one takes its place. SIGINT and SIGHUP reach it
from the terminal, as they reach the supervisor, which minds them.

If the supervisor has gone, the worker goes, too: by itself if it can, else its guard ends it (P7).
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

from bridge.errors import pluralize
from bridge.log import logger
from bridge.server.apps.canaries import decide_elsewhere
from bridge.server.apps.handlers import runner_apps, runners_of
from bridge.server.apps.hooks import worker_hooks
from bridge.server.apps.mounts import cutovers_of, pass_conflicts_to
from bridge.server.config.config import Config
from bridge.server.lifecycle.announcement import announcement
from bridge.server.lifecycle.guard import end_within
from bridge.server.lifecycle.host import Host
from bridge.server.lifecycle.loop import complete, own_loop
from bridge.server.lifecycle.orders import STARTING_LIMIT
from bridge.server.lifecycle.retiring import retire_and_stop
from bridge.server.lifecycle.signals import Signals
from bridge.server.lifecycle.stopping import CUT_GRACE, count_busy, unless
from bridge.server.logs.loggers import configure_logging, reopen_log_files
from bridge.server.network.listeners import Listener
from bridge.server.network.load_board import Seat
from bridge.server.process.channel import Channel, ChannelClosed, Message
from bridge.server.process.exits import EXPECTED, FAILED, code_of, print_error
from bridge.server.process.stacks import StackFile, describe
from bridge.server.server import Server
from bridge.types import ASGIApp

#: Seconds between two beats.
BEAT: Final = 1.0
#: Seconds for what is in flight when the supervisor has gone.
ORPHAN_GRACE: Final = 1.0


def run_worker(
    config: Config,
    listeners: Sequence[Listener],
    channel: Channel,
    *,
    slot: int,
    seat: Seat | None = None,
    stacks: StackFile | None = None,
    server: Server | None = None,
) -> NoReturn:
    """Serve at `listeners` in this process, which was just forked, and end it.

    `channel` is its end; the other one belongs to the supervisor alone. `slot` is its place among
    the workers, `seat` the one at which it says how many connections it has, `stacks` where it
    says what it does, even if it hangs. Signals that the caller holds back are let come in here.
    `server` is one with an app that is imported already, and with logging set up (P11).
    """
    worker = SupervisedWorker(config, listeners, channel, slot, seat, server)
    if stacks is not None:
        stacks.register()
        worker.stacks = stacks
    code = FAILED
    try:
        code = worker.run()
    finally:  # nothing of the supervisor's code that called this may run on
        leave(code, STARTING_LIMIT if code else worker.time_left())


def leave(code: int, seconds: float) -> NoReturn:  # type: ignore[misc]  # the last step ends all
    """Exit as a program does at its end, in so many seconds, and in any case."""
    end_within(seconds, code)
    with contextlib.ExitStack() as steps:  # the last one is the first
        steps.callback(os._exit, code)
        steps.callback(sys.stdout.flush)
        steps.callback(sys.stderr.flush)
        steps.callback(atexit._run_exitfuncs)
        steps.callback(threading._shutdown)  # type: ignore[attr-defined]  # joins the app's threads


def tell_failure(error: BaseException, channel: Channel | None) -> int:
    """Print what a process ends of, tell the supervisor if that waits; return the exit code."""
    if isinstance(error, EXPECTED):
        print_error(error)
        text = str(error)
    else:
        traceback.print_exception(error)
        text = f"{type(error).__name__}: {error}"
    code = code_of(error)
    if channel is not None:
        with contextlib.suppress(ChannelClosed):
            channel.send({"type": "failed", "code": code, "error": text})
    return code


class SupervisedHost(Host):
    """What a supervisor decides for the server in a worker."""

    cut_by = ""
    last_words = "the worker has stopped"

    def app_loaded(self, app: ASGIApp) -> None:
        """Tell WSGI apps that other processes serve them, too (``wsgi.multiprocess``).

        That is so even for a single worker: while another takes its place, there are two. Cutovers
        leave it to the supervisor to decide for all of them.
        """
        for _, found in runner_apps(app):
            found.adopt_processes(several=True)
        decide_elsewhere(app)


class SupervisedWorker:
    """One server in a process of its own, and what the supervisor says to it."""

    def __init__(
        self,
        config: Config,
        listeners: Sequence[Listener],
        channel: Channel,
        slot: int,
        seat: Seat | None = None,
        server: Server | None = None,
    ) -> None:
        self._server = server or Server(config, SupervisedHost())
        self._is_preloaded = server is not None
        self._listeners = listeners
        self._channel = channel
        self._slot = slot
        self._seat = seat
        #: Told to accept connections; to go; and to do that without the grace of retiring.
        self._may_serve = asyncio.Event()
        self._told_to_go = asyncio.Event()
        self._told_to_stop = asyncio.Event()
        #: Whether other workers take the connections that come from now on.
        self._is_replaced = False
        self._is_serving = False
        #: When what is in flight must have ended, and when the next beat is due: the loop's time.
        self._latest_end = math.inf
        #: Has the cutovers do as the supervisor says; None: there are none.
        self._follower: Any = None
        #: Where it says what it does, even if it hangs, and what it leaves behind if it dies.
        self.stacks: StackFile | None = None
        self._beat_due = 0.0

    # --------------------------------------------------------- the whole story

    def run(self) -> int:
        """Serve until told to go, and return the exit code; errors are printed."""
        try:
            self._run()
        except BaseException as error:
            return tell_failure(error, None if self._is_serving else self._channel)
        return 0

    def time_left(self) -> float:
        """Return the seconds left for what the app has left behind."""
        return max(self._server.orders.time_left(), CUT_GRACE)

    def _run(self) -> None:
        server = self._server
        table = self._table()
        with Signals(table, lifeline=self._channel.fileno()) as signals:
            # SIGCHLD, too, else the app never hears that a process of its own has ended.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {*table, signal.SIGCHLD})
            if not self._is_preloaded:  # else the app may have changed it since
                configure_logging(server.config)
            with worker_hooks(server.config), own_loop(server.orders) as loop:
                server.orders.attach_loop(loop)
                if server.load_unless_told():
                    signals.listen()
                    complete(loop, self._serve())

    async def _serve(self) -> None:
        loop, server = asyncio.get_running_loop(), self._server
        loop.add_reader(self._channel.fileno(), self._receive)
        signalled = asyncio.ensure_future(self._heed_signal())
        # All workers find the same of their routes, and the supervisor logs it once (M4).
        pass_conflicts_to(
            server.app,
            lambda lines: loop.call_soon_threadsafe(self._tell_conflicts, lines),
        )
        try:
            if not await unless(self._told_to_go, server.prepare()):
                return
            self._send(self._started())
            if await unless(self._told_to_go, self._may_serve.wait()):
                await server.listen(self._listeners, self._seat)
                if server.watchdog is not None and self.stacks is not None:
                    server.watchdog.observers.append(self.stacks.note)
                self._is_serving = True
                self._send({"type": "serving"})
                self._beat_due = loop.time()
                self._beat()
                await self._told_to_go.wait()
            await self._retire_and_stop()
            if self._is_serving:
                self._send(self._figures(0.0))  # what it has counted since its last beat
                if self._follower is not None:
                    self._follower.close()
        finally:
            signalled.cancel()
            loop.remove_reader(self._channel.fileno())
            loop.remove_writer(self._channel.fileno())

    async def _retire_and_stop(self) -> None:
        server, loop = self._server, asyncio.get_running_loop()
        if not self._is_serving:
            self._told_to_stop.set()  # there are no clients

        def close_listeners() -> None:
            # If all stop, nobody else accepts what waits.
            server.close_listeners(takes_waiting=self._told_to_stop.is_set())

        async def stop(seconds: float) -> None:
            await server.stop(min(seconds, self._latest_end - loop.time()))

        await retire_and_stop(
            server.state,
            self._told_to_stop,
            close_listeners,
            stop,
            still_accepting=not self._is_replaced,
        )

    def _beat(self) -> None:
        """Tell the supervisor that the loop turns, and what it does."""
        state = self._server.state
        now = state.loop.time()
        self._send(self._figures(max(now - self._beat_due, 0)))
        self._beat_due = now + BEAT
        state.loop.call_later(BEAT, self._beat)

    def _started(self) -> Message:
        """Tell the supervisor what is served."""
        server = self._server
        started = {"type": "started", "app": [*announcement(server.config, server.app)]}
        if any(True for _ in cutovers_of(server.app)):
            module = import_module("bridge.server.process.ramp.follower")  # few servers need it
            self._follower = module.Follower(server.app, self.stacks)
            started["ramp"] = self._follower.about()
        return started

    def _tell_conflicts(self, lines: Any) -> None:
        """Tell the supervisor what the routes of a cutover say against each other."""
        serial = 0 if self._follower is None else self._follower.serial
        self._send({"type": "conflicts", "lines": lines, "serial": serial})

    def _figures(self, lag: float) -> Message:
        state = self._server.state
        busy = count_busy(state, self._server.app)
        return {
            "type": "beat",
            "served": state.served,
            "connections": len(state.connections),
            "websockets": busy.get("WebSocket", 0),
            "busy": busy.get("request", 0),
            "lag": lag,
            "figures": self._server.figures() if state.config.metrics_bind else None,
            **({} if self._follower is None else {"ramp": self._follower.beat(state.figures)}),
        }

    # --------------------------------------------------------- signals

    def _table(self) -> dict[int, Callable[[], object]]:
        """Return what to do for each signal, between any two steps of the main thread."""
        orders = self._server.orders
        return {
            signal.SIGTERM: orders.on_sigterm,
            # The terminal sends these to workers, too. They are not ignored, for what an app starts
            # would ignore them as well.
            signal.SIGINT: _do_nothing,
            signal.SIGHUP: _do_nothing,
            signal.SIGUSR1: lambda: orders.soon(reopen_log_files),
            signal.SIGUSR2: lambda: orders.soon(self._server.log_stats),
        }

    async def _heed_signal(self) -> None:
        """At SIGTERM, have another worker take the place of this one, if that is soon enough."""
        config = self._server.config
        await self._server.orders.stop.wait()
        if not self._is_serving:
            self._told_to_go.set()
        elif not self._told_to_go.is_set():
            logger.info("told to stop by a signal: serving until another worker takes over")
            self._send({"type": "retiring", "why": "SIGTERM"})
            await asyncio.sleep(config.drain_delay + config.timeout_graceful_shutdown)
            self._told_to_go.set()

    # --------------------------------------------------------- the channel

    def _send(self, message: Message) -> None:
        """Send `message`; what the supervisor does not take at once waits."""
        try:
            self._channel.send(message)
        except ChannelClosed:
            return  # `_receive` is told, too
        if self._channel.waiting:
            asyncio.get_running_loop().add_writer(self._channel.fileno(), self._flush)

    def _flush(self) -> None:
        with contextlib.suppress(ChannelClosed):
            self._channel.flush()
            if self._channel.waiting:
                return
        asyncio.get_running_loop().remove_writer(self._channel.fileno())

    def _receive(self) -> None:
        try:
            messages = self._channel.receive()
        except ChannelClosed:
            self._be_orphaned()
            return
        for message in messages:
            self._obey(message)

    def _obey(self, message: Message) -> None:
        match message["type"]:
            case "serve":
                self._may_serve.set()
            case "drain":
                self._server.health.drain()
            case "retire":
                self._is_replaced = True
                self._told_to_go.set()
            case "stop":
                self._stop_within(message["grace"])
            case "cut":
                self._server.orders.cut.set()
                self._stop_within(0)
            case "reopen-logs":
                reopen_log_files(logging.DEBUG)  # the supervisor has said it for all
            case "routes" if self._follower is not None:
                self._send({"type": "counts", "ramp": self._follower.counts()})
                self._send(self._follower.obey(message))
            case "rolled-back" if self._follower is not None:
                self._follower.rolled_back(message)
            case "stats":
                self._server.log_stats()
            case "ask":
                self._answer(message["id"], message["what"])
            case other:  # of another version
                logger.debug("the supervisor says %r, which means nothing here", other)

    def _stop_within(self, seconds: float) -> None:
        """Stop without the grace of retiring; what is in flight has so many seconds."""
        now = asyncio.get_running_loop().time()
        self._latest_end = min(self._latest_end, now + seconds)
        self._told_to_stop.set()
        self._told_to_go.set()

    def _answer(self, number: int, what: str) -> None:
        """Answer what the supervisor asks."""
        if what == "stacks":
            self._send({"type": "answer", "id": number, "text": self._describe()})
        else:
            self._send({"type": "answer", "id": number, "error": f"{what} is not known here"})

    def _describe(self) -> str:
        """Say what the worker does: its figures, those of each mount, every thread, every task."""
        state, app = self._server.state, self._server.app
        connections = pluralize(len(state.connections), "connection")
        served = pluralize(state.served, "request")
        runners = [*runners_of(app)]
        mounts = "".join(f"{name}: {runner.stats()}\n" for name, runner in runners)
        blocks = f"{self._server.watchdog.history}\n" if self._server.watchdog else ""
        head = f"slot {self._slot}: {connections}, {served} served\n{mounts}{blocks.lstrip()}"
        return f"{head}{describe(runners)}"

    def _be_orphaned(self) -> None:
        """Stop soon: the supervisor has gone (P7)."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel.fileno())
        logger.warning("the supervisor has gone: stopping")
        self._stop_within(ORPHAN_GRACE)
        loop.call_later(ORPHAN_GRACE, self._server.orders.cut.set)


def _do_nothing() -> None:
    pass
