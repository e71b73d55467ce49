"""Run a process until it is told to stop, and end with the code that says how it went.

Exit codes: 0, told to stop and stopped; 1, something outside (an address in use), or the app failed
at its shutdown; 2, wrong usage; 3, the app could not be loaded or started. A supervisor should not
start it again after 2 and 3. A process that does not end in time is ended: 130 after a second
SIGINT, 143 after SIGTERM.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import NoReturn

import click

import bridge
from bridge.errors import AppLoadError, ConfigError, LayerUnavailable, LifespanFailed
from bridge.server.config.config import Config
from bridge.server.lifecycle.guard import end_within
from bridge.server.lifecycle.orders import STARTING_LIMIT
from bridge.server.lifecycle.stopping import CUT_GRACE
from bridge.server.logs.loggers import open_standard_descriptors
from bridge.server.server import Server

FAILED, NOT_STARTED = 1, 3

#: The beginnings of the names of files that are no app's: their lines do not help its author.
_NOT_APP_FILES = (
    os.path.join(os.path.dirname(bridge.__file__), ""),
    os.path.join(os.path.dirname(importlib.__file__), ""),
    "<frozen ",
)


def run(config: Config, process: Callable[[Config], Server] = Server) -> None:
    """Serve until told to stop; if that fails, exit with the code that says why."""
    open_standard_descriptors()
    with exit_codes():
        server = process(config)
        server.run(last=True)
    end_within(max(server.orders.time_left(), CUT_GRACE), 0)


@contextmanager
def exit_codes() -> Iterator[None]:
    """Exit with the code of the error that is raised within, which is told in one line."""
    try:
        yield
    except ConfigError as error:
        if getattr(error.__cause__, "errno", None) == errno.EADDRINUSE:
            _exit_with_error(error, FAILED)
        raise click.UsageError(str(error)) from error
    except (AppLoadError, LifespanFailed, LayerUnavailable) as error:
        stopping = isinstance(error, LifespanFailed) and error.phase == "shutdown"
        _exit_with_error(error, FAILED if stopping else NOT_STARTED)


def _exit_with_error(error: Exception, code: int) -> NoReturn:
    """Print what is wrong, below the traceback of the app's own code if that raised."""
    cause = error.__cause__
    if isinstance(error, (AppLoadError, LifespanFailed)) and cause is not None:
        of_app = _app_frames(cause.__traceback__)
        if of_app is not None or isinstance(cause, SyntaxError):
            traceback.print_exception(cause.with_traceback(of_app))
        elif isinstance(error, LifespanFailed):
            traceback.print_exception(cause)
    click.echo(f"Error: {error}", err=True)
    end_within(STARTING_LIMIT, code)
    sys.exit(code)


def _app_frames(frames: TracebackType | None) -> TracebackType | None:
    """Cut our calls and imports off a traceback; None if no code of the app is in it."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_NOT_APP_FILES):
        frames = frames.tb_next
    return frames
