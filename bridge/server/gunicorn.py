"""`gunicorn -k bridge.server.gunicorn.BridgeWorker app:app`: the server as a Gunicorn worker (P10).

Gunicorn is the supervisor: it loads the app, forks, watches the heartbeat and says when to stop.
The worker runs one `Server` on its event loop, with Gunicorn's settings if both have one;
`gunicorn_settings.py` says what becomes of each.

What only this server has (`runner`, `limit_*`, ...) comes from ``BRIDGE_*`` in the environment and
from ``[tool.bridge]``, as ever. Gunicorn's hooks around a worker's life are called; those around
each request (`pre_request`, `post_request`) are not: they would cost more than the request.

A worker that is told to retire (a reload, `max_requests`) lets each client have one more response
(`retiring.py`). New connections go to the other workers, or wait in the socket that the workers
share.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from time import perf_counter
from types import FrameType, SimpleNamespace
from typing import Any

from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from bridge.errors import AppLoadError, ConfigError, LifespanFailed, pluralize
from bridge.log import logger
from bridge.runners.patching.patch import greenlet_patch
from bridge.server.apps.canaries import refuse_split_gates
from bridge.server.apps.handlers import runner_apps
from bridge.server.apps.mounts import follow_files
from bridge.server.config.config import Config
from bridge.server.config.gunicorn_settings import worker_config
from bridge.server.lifecycle.announcement import announcement
from bridge.server.lifecycle.host import Host
from bridge.server.lifecycle.loop import complete, own_loop
from bridge.server.lifecycle.retiring import retire_and_stop
from bridge.server.lifecycle.signals import Signals
from bridge.server.logs.access_format import Record
from bridge.server.logs.access_log import AccessLog, on_loop
from bridge.server.network.listeners import Listener
from bridge.server.server import Server
from bridge.types import ASGIApp


class BridgeWorker(Worker):  # type: ignore[misc]
    """Serves apps of ASGI 3, 2 and 1 and of WSGI, and `Dispatcher`s of them, under Gunicorn."""

    #: Set when it is told to retire, or to stop.
    _retired: asyncio.Event
    _server: Server
    #: Read before the app is imported.
    _config: Config

    def load_wsgi(self) -> None:
        """Import the app, unless Gunicorn has (`preload_app`); before that, patch (G6)."""
        _share_handlers(self.log)
        with self._told_errors():
            self._config = worker_config(self.cfg, None)
            if self._config.patch:
                greenlet_patch()
        super().load_wsgi()

    def run(self) -> None:
        """Serve until told to stop; Gunicorn calls it."""
        _share_handlers(self.log)  # again: the app may have set up logging
        try:
            with self._told_errors():
                self._run(replace(self._config, app=self.wsgi))
        finally:
            # The loop has given its signals back, and Gunicorn still repeats this one.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def _run(self, config: Config) -> None:
        self._retired = asyncio.Event()
        self._server = Server(config, GunicornHost(self))
        with own_loop(self._server.orders) as loop:
            soon = loop.call_soon_threadsafe
            table: dict[int, Callable[[], object]] = {
                signal.SIGTERM: lambda: soon(self._retire),
                signal.SIGQUIT: lambda: soon(self._quit),
                signal.SIGINT: lambda: soon(self._quit),
                signal.SIGUSR1: lambda: soon(self.log.reopen_files),
            }
            with Signals(table, in_children=signal.SIG_DFL):
                complete(loop, self._serve())

    @contextmanager
    def _told_errors(self) -> Iterator[None]:
        """Log what keeps the worker from its work, and end it."""
        try:
            yield
        except (AppLoadError, ConfigError, LifespanFailed) as error:
            if isinstance(error, LifespanFailed) and error.phase == "shutdown":
                self.log.error("%s", error, exc_info=error.__cause__)
                sys.exit(1)  # not the other code, which tells Gunicorn to give up
            self.log.error("the worker cannot start: %s", error, exc_info=error.__cause__)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    async def _serve(self) -> None:
        loop, server = asyncio.get_running_loop(), self._server
        self._heartbeat(loop)
        await server.start(
            [Listener(each.sock, bool(self.cfg.is_ssl), None) for each in self.sockets]
        )
        for line in announcement(server.config, server.app):
            self.log.info("%s", line)
        self._follow_files(loop)
        await self._retired.wait()
        await retire_and_stop(
            server.state,
            server.orders.cut,
            server.close_listeners,
            server.stop,
            still_accepting=self.alive,
        )

    # --------------------------------------------------------- the heartbeat

    def _heartbeat(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell Gunicorn that the loop turns, and look whether to stop; often enough for both."""
        self.notify()
        pause = min(1.0, self.timeout / 2 or 1.0)
        if self.max_requests < sys.maxsize:
            pause = min(pause, 0.1)
            if self._server.served >= self.max_requests:
                if not self._retired.is_set():
                    self.log.info("retiring after %s", pluralize(self._server.served, "request"))
                self._retired.set()
        if not self.alive:
            self._retired.set()
        elif os.getppid() != self.ppid:
            self.log.info("the parent changed, shutting down")
            self._retire()
        loop.call_later(pause, self._heartbeat, loop)

    def _follow_files(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look once a second whether the files of cutovers have changed, from the start on."""
        follow_files(self._server.app)
        loop.call_later(1.0, self._follow_files, loop)

    # --------------------------------------------------------- signals

    def _retire(self) -> None:
        """Retire at SIGTERM, which Gunicorn repeats every second until the worker is gone."""
        self.alive = False
        self._retired.set()

    def _quit(self) -> None:
        """Stop at once, at SIGQUIT and SIGINT."""
        if self.alive or not self._retired.is_set():
            self.cfg.worker_int(self)
        self._server.orders.cut.set()
        self._retire()

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """Log where the worker hangs, and end: at SIGABRT, when the heartbeat has stopped."""
        self.log.critical(
            "the worker was blocked here:\n%s", "".join(traceback.format_stack(frame)).rstrip()
        )
        super().handle_abort(sig, frame)


class GunicornHost(Host):
    """What Gunicorn's settings and hooks decide for the server in a worker."""

    cut_by = ""

    def __init__(self, worker: BridgeWorker) -> None:
        self._worker = worker

    def tls_context(self, config: Config) -> ssl.SSLContext | None:
        """Make it as the hook `ssl_context` says, if there is one."""
        own, cfg = super().tls_context(config), self._worker.cfg
        if own is None:
            return None
        context: ssl.SSLContext = cfg.ssl_context(cfg, lambda: own)
        return context

    def access_log(self, config: Config, loop: asyncio.AbstractEventLoop) -> AccessLog | None:
        """Log as Gunicorn is told to: its format and logger, or what a logger class does."""
        log, cfg = self._worker.log, self._worker.cfg
        if not log.access_log_enabled:
            return None
        if type(log).access is Logger.access:
            return AccessLog(cfg.access_log_format, log.access_log, on_loop(loop))
        return _LoggerClassLog(log)

    def app_loaded(self, app: ASGIApp) -> None:
        """Tell WSGI apps whether other processes serve them, too (``wsgi.multiprocess``).

        Raises `ConfigError` for gates that each worker would judge by itself.
        """
        refuse_split_gates(app, self._worker.cfg.workers)
        for _, found in runner_apps(app):
            found.adopt_processes(several=self._worker.cfg.workers > 1)


# ------------------------------------------------------------- logs


def _share_handlers(log: Logger) -> None:
    """Send what the server logs to Gunicorn's error log."""
    ours = logging.getLogger("bridge")
    ours.handlers[:] = log.error_log.handlers
    ours.setLevel(log.error_log.level)
    ours.propagate = False


class _LoggerClassLog(AccessLog):
    """Hands each request to a logger class with an access log of its own (statsd's is one)."""

    def __init__(self, log: Logger) -> None:
        self.timed = True
        self._log = log

    def __call__(self, record: Record) -> None:
        try:
            self._log.access(*_gunicorn_record(record))
        except Exception:  # it must not keep the request from its end
            logger.exception("the logger class could not take a request")

    def flush(self) -> None:
        """Do nothing: no lines wait."""


def _gunicorn_record(record: Record) -> tuple[Any, Any, dict[str, Any], timedelta]:
    """Make the arguments of `Logger.access`: response, request, environ and the time taken."""
    asked = record.request
    client = asked.client or record.connection.identity.client or ("", 0)
    target = asked.target.decode("ascii", "backslashreplace")
    path, _, query = target.partition("?")
    fields = [(name.decode().upper(), value.decode("latin-1")) for name, value in asked.headers]
    response = SimpleNamespace(
        status=str(record.status),
        status_code=record.status,
        sent=record.sent,
        headers=[
            (name.decode(), value.decode("latin-1")) for name, value in record.response_headers
        ],
    )
    request = SimpleNamespace(method=asked.method, uri=f"{path}?{query}", path=path, headers=fields)
    environ = {
        "REMOTE_ADDR": client[0],
        "REQUEST_METHOD": asked.method,
        "RAW_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/1.1" if asked.http11 else "HTTP/1.0",
        **{f"HTTP_{name.replace('-', '_')}": value for name, value in fields},
    }
    return response, request, environ, timedelta(seconds=perf_counter() - record.started)
