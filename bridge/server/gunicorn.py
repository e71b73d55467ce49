"""`gunicorn -k bridge.server.gunicorn.BridgeWorker app:app`: the server as a Gunicorn worker (P10).

Gunicorn is the supervisor: it loads the app, forks, watches the heartbeat and says when to stop.
The worker runs one `Server` on its event loop, with Gunicorn's settings where both have one;
`gunicorn_settings.py` says what becomes of each.

What only this server has (`runner`, `limit_*`, ...) comes from ``BRIDGE_*`` in the environment and
from ``[tool.bridge]``, as ever. Gunicorn's hooks around a worker's life are called; those around
each request (`pre_request`, `post_request`) are not: they would cost more than the request.

Retiring without losing a request. A worker is told to go (a reload, `max_requests`) while clients
hold keep-alive connections to it, and closing one races with the request that its client may be
sending. So nothing is closed early: the next response on each connection says ``Connection:
close``, and a connection whose client has nothing to say lives on to the end of its `keepalive`
time, as it always would, at most `LINGER` seconds. New connections go to the other workers, or
wait in the socket that the workers share.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import perf_counter
from types import FrameType, SimpleNamespace
from typing import Any, Final

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from bridge.errors import AppLoadError, ConfigError, LifespanFailed, counted
from bridge.server.apps.handlers import wsgi_apps
from bridge.server.config.config import Config
from bridge.server.config.gunicorn_settings import worker_config
from bridge.server.http1.connection import HttpProtocol
from bridge.server.lifecycle.loop import complete, own_loop
from bridge.server.lifecycle.signals import Signals
from bridge.server.logs.access_format import Record
from bridge.server.logs.access_log import AccessLog, on_loop
from bridge.server.network.listeners import Listener
from bridge.server.server import Server
from bridge.types import ASGIApp

logger = logging.getLogger("bridge.error")

#: The longest time for which a retiring worker waits for idle clients, in seconds.
LINGER: Final = 5.0
#: Seconds between two looks at a worker that is retiring.
_TICK: Final = 0.05


class BridgeWorker(Worker):  # type: ignore[misc]
    """Serves ASGI 3, 2 and WSGI apps, and `Dispatcher`s of them, under Gunicorn."""

    _server: _WorkerServer | None = None
    _retired: asyncio.Event

    def run(self) -> None:
        """Gunicorn: serve until told to stop."""
        _share_handlers(self.log)
        try:
            with own_loop(self._time_left) as loop:
                soon = loop.call_soon_threadsafe
                table: dict[int, Callable[[], object]] = {
                    signal.SIGTERM: lambda: soon(self._retire),
                    signal.SIGQUIT: lambda: soon(self._quit),
                    signal.SIGINT: lambda: soon(self._quit),
                    signal.SIGUSR1: lambda: soon(self.log.reopen_files),
                }
                with Signals(table, in_children=signal.SIG_DFL):
                    complete(loop, self._serve())
        except (AppLoadError, ConfigError, LifespanFailed) as error:
            if isinstance(error, LifespanFailed) and error.phase == "shutdown":
                self.log.error("%s", error, exc_info=error.__cause__)
                sys.exit(1)  # not the other code, which tells Gunicorn to give up
            self.log.error("the worker cannot start: %s", error, exc_info=error.__cause__)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        finally:
            # The loop has given its signals back, and Gunicorn still repeats this one.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def _serve(self) -> None:
        self._retired = asyncio.Event()
        loop = asyncio.get_running_loop()
        server = self._server = _WorkerServer(worker_config(self.cfg, self.wsgi), self)
        self._beat(loop)
        await server.start(
            [Listener(each.sock, bool(self.cfg.is_ssl), None) for each in self.sockets]
        )
        await self._retired.wait()
        deadline = loop.time() + server.config.timeout_graceful_shutdown
        await server.retire(still_accepting=self.alive)
        await server.stop(deadline - loop.time())

    def _time_left(self) -> float:
        return 0 if self._server is None else self._server.orders.time_left()

    # --------------------------------------------------------- the heartbeat

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell Gunicorn that the loop turns, and look whether to stop; often enough for both."""
        self.notify()
        pause = min(1.0, self.timeout / 2 or 1.0)
        if self.max_requests < sys.maxsize:
            pause = min(pause, 0.1)
            if self._server is not None and self._server.served >= self.max_requests:
                if not self._retired.is_set():
                    self.log.info("retiring after %s", counted(self._server.served, "request"))
                self._retired.set()
        if not self.alive:
            self._retired.set()
        elif os.getppid() != self.ppid:
            self.log.info("the parent changed, shutting down")
            self._retire()
        loop.call_later(pause, self._beat, loop)

    # --------------------------------------------------------- signals

    def _retire(self) -> None:
        """SIGTERM; Gunicorn repeats it every second until the worker is gone."""
        self.alive = False
        self._retired.set()

    def _quit(self) -> None:
        """SIGQUIT, SIGINT: stop at once."""
        if self.alive or not self._retired.is_set():
            self.cfg.worker_int(self)
        if self._server is not None:
            self._server.cut()
        self._retire()

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """SIGABRT: the heartbeat stopped; say where the worker hangs, and end."""
        self.log.critical(
            "the worker was blocked here:\n%s", "".join(traceback.format_stack(frame)).rstrip()
        )
        super().handle_abort(sig, frame)


class _WorkerServer(Server):
    """The server as a worker runs it: it listens where Gunicorn does, and lingers."""

    cut_by = ""

    def __init__(self, config: Config, worker: BridgeWorker) -> None:
        super().__init__(config)
        self._worker = worker

    def _load(self) -> ASGIApp:
        app = super()._load()
        for _, wsgi in wsgi_apps(app):
            wsgi.adopt_processes(several=self._worker.cfg.workers > 1)
        return app

    @property
    def served(self) -> int:
        """Requests taken so far."""
        return self.state.served if hasattr(self, "state") else 0

    def cut(self) -> None:
        """Wait for nobody any more."""
        self.orders.cut = True

    async def _listen(self, listeners: Sequence[Listener]) -> None:
        worker = self._worker
        if self._tls is not None:
            self._tls = worker.cfg.ssl_context(worker.cfg, lambda: self._tls)
        if worker.log.access_log_enabled:
            self._access_log = _access_log(worker, asyncio.get_running_loop())
            self.state.use_access_log(self._access_log)
        await super()._listen(listeners)

    async def retire(self, *, still_accepting: bool) -> None:
        """Let each client have one more answer, for as long as it is worth waiting.

        `still_accepting`: no other worker may be there to take new connections, so take them until
        those are gone that were there before.
        """
        connections = self.state.connections
        self.state.retiring = True
        if still_accepting:
            before = list(connections)
            await self._linger(lambda: connections.isdisjoint(before))
        self.close_listeners()
        await self._linger(lambda: not connections)

    async def _linger(self, done: Callable[[], bool]) -> None:
        config, loop = self.config, asyncio.get_running_loop()
        end = loop.time() + min(config.timeout_keep_alive, config.timeout_graceful_shutdown, LINGER)
        while True:
            await asyncio.sleep(_TICK)  # also for connections that are accepted and not yet known
            if done() or self.orders.cut or loop.time() >= end:
                return
            for connection in list(self.state.connections):
                if not isinstance(connection, HttpProtocol):
                    connection.retire(at_once=False)  # a WebSocket: its client is told to come back


# ------------------------------------------------------------- logs


def _share_handlers(log: Logger) -> None:
    """What the server says goes where Gunicorn's own words go."""
    ours = logging.getLogger("bridge")
    ours.handlers[:] = log.error_log.handlers
    ours.setLevel(log.error_log.level)
    ours.propagate = False


def _access_log(worker: BridgeWorker, loop: asyncio.AbstractEventLoop) -> AccessLog:
    """Gunicorn's access log: its format and logger, or what a logger class of its own does."""
    log = worker.log
    if type(log).access is Logger.access:
        return AccessLog(worker.cfg.access_log_format, log.access_log, on_loop(loop))
    return _LoggerClassLog(log)


class _LoggerClassLog(AccessLog):
    """Hands each request to a logger class with an access log of its own (statsd's is one)."""

    def __init__(self, log: Logger) -> None:
        self.timed = True
        self._log = log

    def __call__(self, record: Record) -> None:
        try:
            self._log.access(*_as_gunicorn_has_it(record))
        except Exception:  # it must not keep the request from its end
            logger.exception("the logger class could not take a request")

    def flush(self) -> None:
        """Nothing waits."""


def _as_gunicorn_has_it(record: Record) -> tuple[Any, Any, dict[str, Any], timedelta]:
    """The arguments of `Logger.access`: response, request, environ and the time taken."""
    head = record.head
    client = record.client or record.connection.client or ("", 0)
    target = head.target.decode("ascii", "backslashreplace")
    path, _, query = target.partition("?")
    fields = [(name.decode().upper(), value.decode("latin-1")) for name, value in head.headers]
    response = SimpleNamespace(
        status=str(record.status),
        status_code=record.status,
        sent=record.sent,
        headers=[
            (name.decode(), value.decode("latin-1")) for name, value in record.response_headers
        ],
    )
    request = SimpleNamespace(method=head.method, uri=f"{path}?{query}", path=path, headers=fields)
    environ = {
        "REMOTE_ADDR": client[0],
        "REQUEST_METHOD": head.method,
        "RAW_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1" if head.http11 else "HTTP/1.0",
        **{f"HTTP_{name.replace('-', '_')}": value for name, value in fields},
    }
    return response, request, environ, timedelta(seconds=perf_counter() - record.started)
