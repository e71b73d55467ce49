"""How a process of the server ends that cannot go on: what is printed, and with which exit code.

Exit codes: 0, told to stop and stopped; 1, something outside (an address in use), or the app failed
at its shutdown; 2, wrong usage; 3, the app could not be loaded or started. A supervisor should not
start it again after 2 and 3.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Final

from bridge.errors import AppLoadError, ConfigError, LayerUnavailable, LifespanFailed

FAILED: Final = 1
WRONG_USAGE: Final = 2
NOT_STARTED: Final = 3

#: The errors of which a process ends in an orderly way.
EXPECTED: Final = (ConfigError, AppLoadError, LifespanFailed, LayerUnavailable)

#: The beginnings of the names of files that are no app's: their lines do not help its author.
_NOT_APP_FILES = (
    os.path.join(Path(__file__).parents[2], ""),  # this package, `bridge`
    os.path.join(os.path.dirname(importlib.__file__), ""),
    "<frozen ",
)


def code_of(error: BaseException) -> int:
    """Return the exit code for what a process has ended of."""
    if isinstance(error, ConfigError):
        in_use = getattr(error.__cause__, "errno", None) == errno.EADDRINUSE
        return FAILED if in_use else WRONG_USAGE
    if isinstance(error, LifespanFailed):
        return FAILED if error.phase == "shutdown" else NOT_STARTED
    return NOT_STARTED if isinstance(error, EXPECTED) else FAILED


def print_error(error: Exception) -> None:
    """Print what is wrong, below the traceback of the app's own code if that raised."""
    cause = error.__cause__
    if isinstance(error, (AppLoadError, LifespanFailed)) and cause is not None:
        of_app = _app_frames(cause.__traceback__)
        if of_app is not None or isinstance(cause, SyntaxError):
            traceback.print_exception(cause.with_traceback(of_app))
        elif isinstance(error, LifespanFailed):
            traceback.print_exception(cause)
    print(f"Error: {error}", file=sys.stderr, flush=True)


def _app_frames(frames: TracebackType | None) -> TracebackType | None:
    """Cut our calls and imports off a traceback; None if no code of the app is in it."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_NOT_APP_FILES):
        frames = frames.tb_next
    return frames
