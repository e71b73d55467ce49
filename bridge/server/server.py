"""The server: it starts the app, listens, and stops without losing a request (P2, S40, S51).

    start:  lifespan startup -> handlers -> listen -> banner
    serve:  until SIGTERM or SIGINT
    stop:   listen no more -> idle connections closed, the others after their answer
            -> after the grace, cut -> lifespan shutdown

A second SIGINT, or SIGTERM after one, cuts at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from bridge.detect import as_asgi
from bridge.errors import AppLoadError, ConfigError, counted
from bridge.lifespan import Lifespan
from bridge.server.access_log import AccessLog, make_access_logger, on_loop
from bridge.server.announcement import announcement
from bridge.server.config import Config
from bridge.server.exchange import Exchange
from bridge.server.handlers import make_handler, runners_of, stop_runners
from bridge.server.http import Handler, HttpProtocol
from bridge.server.listeners import Listener, banner, open_listeners
from bridge.server.loading import load
from bridge.server.logs import configure_logging
from bridge.server.loop import run
from bridge.server.proxied import (
    AcceptBeforeTls,
    AnnouncedHttpProtocol,
    ProxiedHttpProtocol,
)
from bridge.server.request_head import RequestHead
from bridge.server.running import hand_on
from bridge.server.sources import from_python
from bridge.server.state import TICK, ServerState
from bridge.server.stopping import Draining, unless
from bridge.server.tls import SHUTDOWN_TIMEOUT, make_context, reload_certificates
from bridge.types import ASGIApp

logger = logging.getLogger("bridge.error")

#: From Python 3.13 on, a loop removes the path of any Unix socket that it served, also of one that
#: is somebody else's. The listener knows better which to remove (S30).
_KEEP_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


class Server:
    """One process that serves one app. `config.app` is the app, or its name.

    From Python: ``await Server(config).serve()`` on a running loop, or ``Server(config).run()``.
    """

    #: How a user cuts what a stopping server waits for, for the log.
    cut_by = "CTRL+C again cuts"

    def __init__(self, config: Config) -> None:
        self.config = config
        self.state: ServerState
        self._app: ASGIApp
        self._lifespan: Lifespan
        self._servers: list[asyncio.Server | AcceptBeforeTls] = []
        self._listeners: Sequence[Listener] = ()
        self._tls: ssl.SSLContext | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._access_log: AccessLog | None = None
        self._stop = asyncio.Event()
        self._cut = False

    # --------------------------------------------------------- the whole story

    def run(self) -> None:
        """Serve until told to stop, on a loop of its own.

        Raises `ConfigError`, `AppLoadError` or `LifespanFailed` where it cannot start.
        """
        configure_logging(self.config)
        run(self.serve())

    async def serve(self) -> None:
        """Start, serve until a signal or `request_stop`, stop. Raises as `run` does."""
        with _Signals(self):
            if not await unless(self._stop.is_set, self.start()):
                logger.info("told to stop before the app had started")
                return
            try:
                await self._stop.wait()
            finally:
                await self.stop()

    def request_stop(self) -> None:
        """Stop gracefully; asked a second time, at once. On the loop's thread."""
        if self._stop.is_set():
            self._cut = True
        self._stop.set()

    def _is_cut(self) -> bool:
        return self._cut

    # --------------------------------------------------------- start

    async def start(self, listeners: Sequence[Listener] | None = None) -> None:
        """Start the app, then listen: at `listeners`, or where the settings say."""
        config, loop = self.config, asyncio.get_running_loop()
        self.state = state = ServerState(config, loop)
        self._tls = make_context(config)
        self._app = self._load()
        own = open_listeners(config) if listeners is None else listeners
        try:
            self._access_log = make_access_logger(config, on_loop(loop))
            state.use_access_log(self._access_log)
            for _, runner in runners_of(self._app):
                runner.start(loop)
            self._lifespan = Lifespan(
                self._app,
                mode=config.lifespan,  # type: ignore[arg-type]
                startup_timeout=config.timeout_startup,
                shutdown_timeout=config.timeout_shutdown,
            )
            await self._lifespan.startup()
            try:
                await self._listen(own)
            except BaseException:
                await self._lifespan.shutdown()
                raise
        except BaseException:
            for listener in own:
                listener.close()
            await stop_runners(self._app, 0)
            raise
        self._sweep()
        if not listeners:
            for line in (*announcement(config, self._app), banner(own)):
                logger.info(line)

    def _load(self) -> ASGIApp:
        config = self.config
        loaded = load(config)
        kind = None if config.interface == "auto" else config.interface
        try:
            app = as_asgi(loaded, kind)
        except ConfigError as error:
            raise AppLoadError(str(error)) from None
        hand_on(config, app)
        return app

    async def _listen(self, listeners: Sequence[Listener]) -> None:
        loop, state = asyncio.get_running_loop(), self.state
        handler = make_handler(self._app, self._lifespan.state)
        websocket = _WebSockets(self._app, state, self._lifespan.state)
        protocol = ProxiedHttpProtocol if self.config.proxy_protocol else HttpProtocol
        self._listeners = listeners
        if self.config.proxy_protocol and self._tls is not None:
            self._servers += [
                AcceptBeforeTls(
                    listener.socket,
                    lambda: AnnouncedHttpProtocol(state, handler, websocket),
                    self._tls,
                    self.config.timeout_header,
                )
                for listener in listeners
            ]
            return

        def connection() -> HttpProtocol:
            return protocol(state, handler, websocket)

        for listener in listeners:
            make = loop.create_unix_server if listener.is_unix else loop.create_server
            more = dict(_KEEP_PATH) if listener.is_unix else {}
            if self._tls is not None:
                more["ssl_shutdown_timeout"] = SHUTDOWN_TIMEOUT
                if self.config.timeout_header:
                    more["ssl_handshake_timeout"] = self.config.timeout_header
            self._servers.append(
                await make(
                    connection,
                    sock=listener.socket,
                    ssl=self._tls,
                    backlog=self.config.backlog,
                    **more,
                )
            )

    def _sweep(self) -> None:
        """Once a second: the clock, and every connection's time limits.

        Those are looked at behind the loop's next turn: what has come by now is read first.
        """
        state, loop = self.state, self.state.loop
        self._sweeper = loop.call_later(TICK, self._sweep)
        state.tick()
        loop.call_soon(loop.call_soon, state.sweep)

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

    def log_stats(self) -> None:
        """Write the figures of each mount's runner to the log (SIGUSR2)."""
        state = self.state
        state.sweep()  # counts what threads have ended
        connections = counted(len(state.connections), "connection")
        logger.info("%s, %s served", connections, counted(state.served, "request"))
        for name, runner in runners_of(self._app):
            logger.info("%s: %s", name, runner.stats())

    # --------------------------------------------------------- stop

    def close_listeners(self) -> None:
        """Accept no more connections."""
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        self._servers.clear()
        self._listeners = ()

    async def stop(self, grace: float | None = None) -> None:
        """Stop listening, finish what is in flight, shut the app down.

        `grace`: seconds for what is in flight; as `timeout_graceful_shutdown` says where None.
        """
        state, loop = self.state, asyncio.get_running_loop()
        self.close_listeners()
        state.retiring = True
        if grace is None:
            grace = self.config.timeout_graceful_shutdown
        deadline = loop.time() + grace
        try:
            await Draining(state, self._app, self._is_cut, self.cut_by).run(deadline)
            await unless(self._is_cut, self._lifespan.shutdown())
            logger.info("stopped")
        finally:
            if self._sweeper is not None:
                self._sweeper.cancel()
            if self._access_log is not None:
                self._access_log.flush()


class _WebSockets:
    """Opens exchanges as `WebSocketHandler` does, which it makes for the first handshake.

    What that needs, the `websockets` library above all, takes 4 MB and some 20 ms to load.
    """

    def __init__(self, *settings: Any) -> None:
        self._settings = settings

    @cached_property
    def _handler(self) -> Handler:
        from bridge.server.websocket import WebSocketHandler

        return WebSocketHandler(*self._settings)

    def open(self, connection: HttpProtocol, head: RequestHead) -> Exchange:
        """An exchange for this handshake. Raises `RequestError` (400, 426)."""
        return self._handler.open(connection, head)


class _Signals:
    """The signals of a server that is its process's main program; put back at the end."""

    def __init__(self, server: Server) -> None:
        self._table: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: server.request_stop,
            signal.SIGINT: server.request_stop,
            signal.SIGHUP: server.reload_certificates,
            signal.SIGUSR2: server.log_stats,
        }

    def __enter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            self._table = {}
        for number, handler in self._table.items():
            self._loop.add_signal_handler(number, handler)

    def __exit__(self, *exc_info: object) -> None:
        for number in self._table:
            self._loop.remove_signal_handler(number)


def serve(app: Any, **settings: Any) -> None:
    """Serve `app` (an app of any kind, or ``"module:attr"``) until the process is told to stop.

    `settings` are the fields of `Config`. Raises `ConfigError`, `AppLoadError`, `LifespanFailed`.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        Server(from_python(app, settings)).run()
    else:
        raise ConfigError(
            "serve() runs an event loop of its own, and one runs here already; there, say: "
            "from bridge.server import Config, Server; await Server(Config(app=app)).serve()"
        )
