"""The server: it starts the app, listens, and stops without losing a request (P2, S40, S51).

    start:  import the app -> lifespan startup -> handlers -> listen -> banner
    serve:  until SIGTERM or SIGINT (`signals.py`)
    stop:   listen no more -> what is in flight ends, or is cut (`stopping.py`)
            -> lifespan shutdown

A SIGINT cuts what a stop waits for; another SIGTERM changes nothing.
"""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from bridge.asgi.lifespan import Lifespan
from bridge.detect import as_asgi
from bridge.errors import AppLoadError, ConfigError, pluralize
from bridge.log import logger
from bridge.loops.hidden import call_without_loop
from bridge.loops.watchdog.watchdog import Watchdog
from bridge.server.apps.handlers import (
    count_requests,
    make_handler,
    runners_of,
    stop_runners,
)
from bridge.server.apps.loading import load
from bridge.server.apps.mounts import cutovers_of, reread_routes
from bridge.server.clock import TICK
from bridge.server.config.config import Config
from bridge.server.control.pid_file import pid_file
from bridge.server.exchange import Handler
from bridge.server.http1.connection import Http1Connection
from bridge.server.http1.factory import connection_factory
from bridge.server.http1.proxied import ProxiedConnection
from bridge.server.lifecycle.announcement import announcement
from bridge.server.lifecycle.host import Host
from bridge.server.lifecycle.listening import Listening
from bridge.server.lifecycle.loop import complete, own_loop, refuse_running_loop
from bridge.server.lifecycle.orders import Orders
from bridge.server.lifecycle.signals import Interrupted, Signals
from bridge.server.lifecycle.stopping import CUT_GRACE, Draining, unless
from bridge.server.lifecycle.terminal import Terminal
from bridge.server.lifecycle.wsgi_settings import apply_wsgi_settings
from bridge.server.logs.access_log import AccessLog
from bridge.server.logs.loggers import configure_logging, reenable_loggers, reopen_log_files
from bridge.server.metrics.snapshot import Snapshot
from bridge.server.network.listeners import Listener, banner, open_listeners
from bridge.server.network.load_board import Seat
from bridge.server.network.tls import reload_certificates
from bridge.server.operations.health import Health, HealthHandler, drain
from bridge.server.operations.port import operations
from bridge.server.operations.systemd import Notifier
from bridge.server.operations.watching import watch_loop
from bridge.server.state import RETIRING, ServerState
from bridge.server.websocket.handler import WebSockets
from bridge.types import ASGIApp


class Server:
    """One process that serves one app. `config.app` is the app, or its name.

    From Python: ``await Server(config).serve()`` on a running loop, or ``Server(config).run()``.
    """

    def __init__(self, config: Config, host: Host | None = None) -> None:
        self.config = config
        self.orders = Orders(config)
        #: Whether it is to be sent requests.
        self.health = Health(lambda: self.orders.serving)
        #: What the program around it decides.
        self._host = host or Host()
        self._app: ASGIApp | None = None
        self._lifespan: Lifespan | None = None
        self._state: ServerState | None = None
        self._listening = Listening()
        self._tls: ssl.SSLContext | None = None
        self._access_log: AccessLog | None = None
        self._next_tick: asyncio.TimerHandle | None = None
        #: Names what blocks the loop, while the app serves.
        self.watchdog: Watchdog | None = None
        #: The process's own signals, if the process is this server's.
        self._signals: Signals | None = None
        self._terminal = Terminal()
        #: Told of the process's life, if that is this server's.
        self._systemd = Notifier()

    @property
    def app(self) -> ASGIApp:
        """Return the app, once it is loaded."""
        assert self._app is not None, "the app is not loaded yet"
        return self._app

    @property
    def state(self) -> ServerState:
        """Return what all connections share, once it has started."""
        assert self._state is not None, "the server has not started yet"
        return self._state

    @property
    def served(self) -> int:
        """Return the number of requests taken so far."""
        return 0 if self._state is None else self._state.served

    # --------------------------------------------------------- the whole story

    def run(self, *, last: bool = False) -> None:
        """Serve until told to stop, on a loop of its own; the app is imported before that runs.

        `last`: the process exits after that, and cannot be told to stop any more (`guard.LAST`).

        Raises `ConfigError`, `AppLoadError` or `LifespanFailed` if it cannot start; the first of
        them also if a loop is running already.
        """
        refuse_running_loop("Server.run()")
        configure_logging(self.config)
        self._systemd = Notifier.from_environment()
        self._signals = Signals(self._table(), limit=self.orders.limit, last=last)
        with self._signals, own_loop(self.orders) as loop:
            if self.load_unless_told():
                complete(loop, self.serve())

    async def serve(self) -> None:
        """Start, serve until a signal or `request_stop`, stop. Raises as `run` does.

        In the main thread it minds the process's signals meanwhile, beside other servers there.
        """
        self.orders.attach_loop(asyncio.get_running_loop())
        try:
            if self._signals is not None:
                self._signals.listen()
                await self._serve()
                return
            with Signals(self._table()):
                await self._serve()
        finally:
            if self._signals is None:
                self.orders.detach_loop()  # else that is still to be ended: `own_loop`

    async def _serve(self) -> None:
        if not self.load_unless_told():
            return
        async with (
            pid_file(self.config) as write,
            operations(self.config, self.health, self.figures),
        ):
            try:
                if await unless(self.orders.stop, self.start()):
                    write()
                    self._systemd.begin(
                        asyncio.get_running_loop(),
                        lambda: f"{pluralize(self.served, 'request')} served",
                    )
                    await self.orders.stop.wait()
                    self._systemd.stopping()
                    await drain(self.health, self.config.drain_delay, self.orders.cut)
                else:
                    logger.info("told to stop before the app had started")
            finally:
                if self.orders.serving:
                    await self.stop()

    def load_unless_told(self) -> bool:
        """Import the app, unless told to stop, also by a signal that comes meanwhile."""
        orders = self.orders
        try:
            orders.begin_loading()
            if not orders.stop_requested:
                self.load()
            orders.end_loading()  # here: whatever interrupts until now is caught
        except Interrupted:
            pass
        finally:
            orders.end_loading()
        if orders.stop_requested:  # the app may have swallowed the interruption
            logger.info("told to stop before the app was imported")
        return not orders.stop_requested

    # --------------------------------------------------------- being told to stop

    def request_stop(self) -> None:
        """Stop gracefully; asked a second time, at once. On the loop's thread."""
        self.orders.request_stop()

    def _table(self) -> dict[int, Callable[[], None]]:
        """Return what to do for each signal, between any two steps of the main thread."""
        orders = self.orders
        return {
            signal.SIGTERM: orders.on_sigterm,
            signal.SIGINT: orders.on_sigint,
            signal.SIGHUP: lambda: orders.soon(self._hang_up),
            signal.SIGUSR1: lambda: orders.soon(reopen_log_files),
            signal.SIGUSR2: lambda: orders.soon(self.log_stats),
        }

    def _hang_up(self) -> None:
        """Read certificates again at SIGHUP; if the terminal has been closed, stop."""
        if not self._terminal.is_closed():
            with self._systemd.reload():
                self.reload_certificates()
                reread_routes(self.app)
        elif not self.orders.stop_requested:
            logger.warning("the terminal was closed: stopping")
            self.request_stop()

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """Return host and port of each address it listens at, or its path; empty if at none."""
        return self._listening.addresses

    # --------------------------------------------------------- start

    async def start(self, listeners: Sequence[Listener] | None = None) -> None:
        """Start the app, then listen: at `listeners`; None: at what the settings name."""
        self.load()
        self._tls = self._host.tls_context(self.config)  # before anybody can connect
        own = open_listeners(self.config) if listeners is None else listeners
        try:
            await self.prepare()
        except BaseException:
            for listener in own:
                listener.close()
            raise
        await self.listen(own)
        if not listeners:
            for line in (*announcement(self.config, self.app), banner(own)):
                logger.info(line)

    async def prepare(self) -> None:
        """Start the app, and what is needed to serve it; then comes `listen`, or `stop`."""
        config, loop = self.config, asyncio.get_running_loop()
        self._state = state = ServerState(config, loop)
        self._tls = self._tls or self._host.tls_context(config)
        self.load()
        try:
            self._access_log = self._host.access_log(config, loop)
            state.use_access_log(self._access_log)
            for _, runner in runners_of(self.app):
                runner.start(loop)
            self._lifespan = Lifespan(
                self.app,
                mode=config.lifespan,  # type: ignore[arg-type]
                startup_timeout=config.timeout_startup,
                shutdown_timeout=config.timeout_shutdown,
            )
            await self._lifespan.startup()
        except BaseException:
            await stop_runners(self.app, 0)
            raise
        reenable_loggers()

    async def listen(self, listeners: Sequence[Listener], seat: Seat | None = None) -> None:
        """Accept connections at `listeners`, which are closed, and the app shut down, if it fails.

        Called once, after `prepare`. `seat`: of a worker that accepts beside others.
        """
        lifespan = self._lifespan
        assert lifespan is not None, "the app has not started yet"
        try:
            connection = _connection_factory(self, lifespan.state, tls=self._tls is not None)
            await self._listening.open(listeners, connection, self.state, self._tls, seat)
        except BaseException:
            for listener in listeners:
                listener.close()
            await lifespan.shutdown()
            await stop_runners(self.app, 0)
            raise
        self._tick()
        self.watchdog = watch_loop(self.config, self.app, lambda: self.served, self.state.figures)
        self.orders.started()

    def load(self) -> None:
        """Import the app, if `config` names one; `run`, `serve` and `start` do that themselves.

        The app's code sees no running loop: it may use ``asyncio.run``. Raises as `run` does.
        """
        if self._app is None:
            self._app = call_without_loop(partial(_load, self.config, self._host))
            reenable_loggers()

    def _tick(self) -> None:
        """Take the time, and check the time limits of every connection; once a second.

        They are checked after the loop's next turn: what has come by now is read first.
        """
        state, loop = self.state, self.state.loop
        self._next_tick = loop.call_later(TICK, self._tick)
        reenable_loggers()
        state.tick()
        loop.call_soon(loop.call_soon, state.check_timeouts)

    # --------------------------------------------------------- while it runs

    def reload_certificates(self) -> None:
        """Read the certificates again; new connections get the new ones (SIGHUP)."""
        if self._tls is None:
            logger.info("SIGHUP: there are no certificates to read again")
            return
        try:
            reload_certificates(self._tls, self.config)  # type: ignore[arg-type]
        except ConfigError as error:
            logger.error("the certificates stay as they are: %s", error)
        else:
            logger.info("the certificates were read again")

    def figures(self) -> Snapshot:
        """Return what this process counts; nothing if nobody can ask for that."""
        figures = None if self._state is None else self._state.figures
        return {} if figures is None else figures.snapshot()

    def log_stats(self) -> None:
        """Write the figures of each mount's runner to the log (SIGUSR2)."""
        state = self._state
        if state is None or self._app is None:
            return  # it has not started
        state.check_timeouts()  # counts what threads have ended
        connections = pluralize(len(state.connections), "connection")
        logger.info("%s, %s served", connections, pluralize(state.served, "request"))
        for name, runner in runners_of(self.app):
            logger.info("%s: %s", name, runner.stats())

    # --------------------------------------------------------- stop

    def close_listeners(self, *, takes_waiting: bool = False) -> None:
        """Accept no more connections; `takes_waiting`: after those that wait (`Listening`)."""
        self._listening.close(takes_waiting=takes_waiting)

    async def stop(self, grace: float | None = None) -> None:
        """Stop listening, finish what is in flight, shut the app down.

        `grace`: seconds for what is in flight; None: as `timeout_graceful_shutdown` says.
        Cancelling this cuts what is in flight.
        """
        state, loop = self.state, asyncio.get_running_loop()
        self.close_listeners(takes_waiting=True)
        state.enter_stop(RETIRING)
        if grace is None:
            grace = self.config.timeout_graceful_shutdown
        deadline = loop.time() + grace
        self.orders.stop_within(grace)
        ending = asyncio.ensure_future(self._end(deadline))
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            self.orders.cut.set()  # nothing of it is left behind, also then
            await asyncio.wait([ending])
            raise
        finally:
            self.orders.stopped()
            if self._next_tick is not None:
                self._next_tick.cancel()
            if self._access_log is not None:
                self._access_log.flush()
            state.refusals.report()
        logger.info(self._host.last_words)

    async def _end(self, deadline: float) -> None:
        """End what is in flight, by `deadline` (the loop's time), and then the app."""
        cut, lifespan = self.orders.cut, self._lifespan
        assert lifespan is not None, "the app has not started yet"
        await Draining(self.state, self.app, cut, self._host.cut_by).run(deadline)
        if self.watchdog is not None:
            self.watchdog.stop()
        await unless(cut, lifespan.shutdown(), CUT_GRACE)


def _load(config: Config, host: Host) -> ASGIApp:
    loaded = load(config)
    kind = None if config.interface == "auto" else config.interface
    try:
        app = as_asgi(loaded, kind)
    except ConfigError as error:
        raise AppLoadError(str(error)) from None
    apply_wsgi_settings(config, app)
    host.app_loaded(app)
    return app


def _connection_factory(
    server: Server, state_of_app: dict[str, Any], *, tls: bool
) -> Callable[[], Http1Connection]:
    """Return what makes a connection; `state_of_app` is the lifespan's."""
    app, state, config = server.app, server.state, server.config
    made = make_handler(app, state_of_app, timeout_request=config.timeout_request)
    if config.metrics_bind or any(each.observed for each in cutovers_of(app)):
        count_requests(state, app, made)
    handler: Handler = made
    if config.health_path:
        handler = HealthHandler(config.health_path, config.root_path, server.health, handler)
    websocket = WebSockets(app, state, state_of_app)
    kind: type[Http1Connection] = Http1Connection
    if config.proxy_protocol:
        kind = Http1Connection if tls else ProxiedConnection
    return connection_factory(state, handler, websocket, kind)
