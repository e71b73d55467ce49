"""`bridge.serve` and `Server`: one process, or several if the settings want them (P1, P12)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bridge.errors import AppLoadError, ConfigError
from bridge.log import logger
from bridge.server import server
from bridge.server.apps.handlers import runners_of
from bridge.server.apps.mounts import cutovers_of
from bridge.server.config.config import Config
from bridge.server.config.process_settings import HOOKS
from bridge.server.config.sources import from_python
from bridge.server.control.server import OFF
from bridge.server.lifecycle.loop import refuse_running_loop
from bridge.server.network.listeners import Listener
from bridge.server.process.exits import NOT_STARTED, WRONG_USAGE
from bridge.server.process.fleet.members import Finish
from bridge.server.process.rereading import Reread
from bridge.server.process.stacks import describe
from bridge.server.process.supervisor import Supervisor
from bridge.server.process.worker import run_worker


class Server(server.Server):
    """A server of one app, which `config.app` is, or names; in as many processes as it says.

    From Python: ``await Server(config).serve()`` on a running loop, in that process, or
    ``Server(config).run()``.
    """

    def run(self, *, last: bool = False) -> None:
        """Serve until told to stop; the app is imported on no loop.

        Raises `ConfigError`, `AppLoadError` or `LifespanFailed` if it cannot start; the first of
        them also if a loop is running already, or several processes are wanted in a program that
        cannot be forked. What a worker has failed of is an `AppLoadError`.
        """
        if not self.config.supervised:
            super().run(last=last)
            return
        ended = supervise(self.config, last=last)
        if ended.code == WRONG_USAGE:
            raise ConfigError(ended.error)
        if ended.code == NOT_STARTED:
            raise AppLoadError(ended.error)

    async def start(self, listeners: Sequence[Listener] | None = None) -> None:
        """Start as any server does; say how routes are switched here, where no order comes."""
        await super().start(listeners)
        if self.config.control_socket != OFF:
            for each in dict.fromkeys(cutovers_of(self.app)):
                logger.info("%s", _without_orders(each))

    async def serve(self) -> None:
        """Start, serve until a signal or `request_stop`, stop: in this process. Raises as `run`."""
        if self.config.supervised:
            raise ConfigError(
                "several processes, and those that are replaced, are forked, which cannot be done "
                f"in a running loop: {_wish(self.config)}; call Server(config).run() where none "
                "runs, or leave these settings out"
            )
        await super().serve()

    def log_stats(self) -> None:
        """Write the figures to the log, and where each thread and task stands (SIGUSR2, P5)."""
        super().log_stats()
        if self.watchdog is not None and str(self.watchdog.history):
            logger.info("%s", self.watchdog.history)
        self._log_cutovers()
        runners = () if self._app is None else runners_of(self._app)
        logger.info("process %d stands here:\n%s", os.getpid(), describe(runners))

    def _log_cutovers(self) -> None:
        """Write how the routes of cutovers go: what `cutover status` shows of several workers."""
        cutovers = [] if self._app is None else [*dict.fromkeys(cutovers_of(self._app))]
        if cutovers and self._state is not None:
            standing = import_module("bridge.server.process.ramp.standing")  # few servers need it
            text = import_module("bridge.server.control.routes_text")
            for line in text.status_lines(standing.alone(cutovers, self._state.figures)):
                logger.info("%s", line)

    def _table(self) -> dict[int, Callable[[], None]]:
        """Return what to do for each signal: one that only a supervisor can obey gets a line."""
        return super()._table() | {signal.SIGTTIN: lambda: self.orders.soon(_refuse_worker)}


def _refuse_worker() -> None:
    """Say how to get what SIGTTIN asks for; its default would stop a process with a terminal."""
    logger.warning("SIGTTIN: this process serves alone; for more workers, start it with -w 2")


def _without_orders(cutover: Any) -> str:
    """Say how the routes of a cutover are switched in a process that takes no orders."""
    orders = "`asgi-bridge cutover set` reaches a server with --workers 2, or --control-socket PATH"
    if cutover.file is None:
        return f"the routes are in the code of the app; {orders}"
    path = cutover.file.path
    return (
        f"this process reads its routes again at SIGHUP; change {path} before, or say `asgi-bridge "
        f"cutover set ROUTE MODE --file {path}`. Without --file {orders}"
    )


def _wish(config: Config) -> str:
    """Return what it is that a supervisor is needed for."""
    wishes = ("workers", "max_requests", "max_rss", "max_lifetime", "preload", "reload")
    defaults = Config()
    given = {name: getattr(config, name) for name in (*wishes, "control_socket", *HOOKS)}
    return ", ".join(f"{k} is {v}" for k, v in given.items() if v != getattr(defaults, k))


def supervise(config: Config, *, reread: Reread | None = None, last: bool = False) -> Finish:
    """Serve in workers until told to stop; return how it has ended.

    `reread` gives the settings of new workers at a reload; None: they stay. `last` is that of
    `Signals`. Raises `ConfigError` if it cannot start.
    """
    return Supervisor(config, run_worker, reread=reread).run(last=last)


def serve(app: Any, **settings: Any) -> None:
    """Serve `app` (an app of any kind, or ``"module:attr"``) until the process is told to stop.

    `settings` are the fields of `Config`. Raises `ConfigError`, `AppLoadError`, `LifespanFailed`;
    if a loop runs already, `ConfigError`: write ``await Server(Config(app=app)).serve()`` there.
    """
    refuse_running_loop("serve()")
    Server(from_python(app, settings)).run()
