"""Run a process until it is told to stop, and end with the code that says how it went (`exits.py`).

A process that does not end in time is ended: 130 after a second SIGINT, 143 after SIGTERM.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from bridge.server import server
from bridge.server.config.config import Config
from bridge.server.control.server import OFF
from bridge.server.lifecycle.guard import end_within
from bridge.server.lifecycle.orders import STARTING_LIMIT
from bridge.server.lifecycle.stopping import CUT_GRACE
from bridge.server.logs.loggers import open_standard_descriptors
from bridge.server.process.exits import EXPECTED, WRONG_USAGE, code_of, print_error
from bridge.server.process.rereading import Reread
from bridge.server.process.serving import Server, supervise


def run_server(config: Config, reread: Reread | None = None) -> None:
    """Serve in as many processes as `config` wants; `reread` gives the settings at a reload."""
    if not (config.supervised or _is_switched(config)):
        run(config)
        return
    open_standard_descriptors()
    with exit_codes():
        ended = supervise(config, reread=reread, last=True)
    sys.exit(ended.code)  # of an error a line has been written


def run(config: Config, process: Callable[[Config], server.Server] = Server) -> None:
    """Serve in this process until told to stop; if that fails, exit with the code that says why."""
    open_standard_descriptors()
    with exit_codes():
        running = process(config)
        running.run(last=True)
    end_within(max(running.orders.time_left(), CUT_GRACE), 0)


def _is_switched(config: Config) -> bool:
    """Whether orders may come that only a supervisor takes: to switch the routes of a cutover."""
    return config.cutover is not None and config.control_socket != OFF


@contextmanager
def exit_codes() -> Iterator[None]:
    """Exit with the code of the error that is raised within, which is told in one line."""
    try:
        yield
    except EXPECTED as error:
        code = code_of(error)
        if code == WRONG_USAGE:
            raise click.UsageError(str(error)) from error
        print_error(error)
        end_within(STARTING_LIMIT, code)
        sys.exit(code)
