"""What runs in a thread: which line of the app, for which request; told from its Python frames.

The frames of the server and of asyncio are left out, and so are those outside of the loop. In a
greenlet, a thread's frames are those of the greenlet alone, and end at its own beginning.
"""

from __future__ import annotations

import functools
import linecache
import os
import selectors
import sysconfig
from asyncio import base_events, events
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, NamedTuple

#: The most frames that are looked at, and that are told (the last ones).
_MOST_LOOKED_AT: Final = 1000
_MOST_TOLD: Final = 30
#: The most characters of a path that are told.
_MOST_OF_A_PATH: Final = 200

#: Where the frames are from that are not told: the toolkit itself, and what runs a loop.
_PLUMBING: Final = (
    os.path.dirname(os.path.dirname(os.path.dirname(__file__))) + os.sep,
    os.path.dirname(base_events.__file__) + os.sep,
    selectors.__file__,
)
#: Where libraries are; all else is the app's own code.
_LIBRARIES: Final = (
    *(f"{folder}{os.sep}" for folder in {*sysconfig.get_paths().values()}),
    "<frozen",
)
_INSTALLED: Final = ("site-packages", "dist-packages")
#: Modules of debuggers: a call that stands still in one of them is meant to.
_DEBUGGERS: Final = {"bdb", "pdb", "pydevd", "_pydevd_bundle", "debugpy"}
#: How asyncio's loop calls what is to be called: these frames are new each time.
_CALLING: Final = {
    events.Handle._run.__code__,
    base_events.BaseEventLoop._run_once.__code__,  # type: ignore[attr-defined]
}


class Place(NamedTuple):
    """One place in the code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


@dataclass(frozen=True, slots=True)
class Stack:
    """What runs: from the app's entry on, the last call last; there is at least one place."""

    places: tuple[Place, ...]
    #: Calls before the first of these.
    left_out: int
    #: ``GET /path``; empty if it is not known.
    request: str
    #: ``ASGI`` or ``WSGI``; empty if it is not known.
    kind: str
    in_greenlet: bool
    is_debugged: bool

    @property
    def place(self) -> Place:
        """The last place in the app's own code; if there is none, the last one."""
        own = (each for each in reversed(self.places) if is_own(each.file))
        return next(own, self.places[-1])

    @property
    def text(self) -> str:
        """The stack, as tracebacks show it. Reads the files."""
        lines = [f"  ({self.left_out} calls before)"] if self.left_out else []
        for place in self.places:
            lines.append(f'  File "{place.file}", line {place.line}, in {place.function}')
            source = "" if place.file.startswith("<") else source_line(place)
            if source:
                lines.append(f"    {source}")
        return "\n".join(lines)


def source_line(place: Place) -> str:
    """Return the source of a line; empty if it cannot be read."""
    return linecache.getline(place.file, place.line).strip()


def frame_of_loop(frame: FrameType) -> FrameType:
    """Return the frame that runs the loop, which has called the one of the caller."""
    while frame.f_code in _CALLING and frame.f_back is not None:
        frame = frame.f_back
    return frame


def runs_app_code(frame: FrameType | None, loop: FrameType) -> bool:
    """Whether a thread that stands at `frame` runs other code than the server's; see `read_stack`.

    An idle loop is told at the first frames.
    """
    for _ in range(_MOST_LOOKED_AT):
        if frame is None or frame is loop:
            return False
        if not _is_plumbing(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False


def read_stack(frame: FrameType | None, loop: FrameType) -> Stack | None:
    """Return what the thread that stands at `frame` runs in the loop, which `loop` runs.

    No frame is kept: what it holds would end in this thread.
    """
    frames: list[FrameType] = []
    while frame is not None and frame is not loop and len(frames) < _MOST_LOOKED_AT:
        frames.append(frame)
        frame = frame.f_back
    in_greenlet = frame is not loop
    frames.reverse()
    kind, request = next(_requests(frames), ("", ""))
    names = {str(each.f_globals.get("__name__")).partition(".")[0] for each in frames}
    places = [
        Place(each.f_code.co_filename, each.f_lineno, each.f_code.co_qualname)
        for each in frames
        if not _is_plumbing(each.f_code.co_filename)
    ]
    if not places:
        return None
    return Stack(
        tuple(places[-_MOST_TOLD:]),
        max(0, len(places) - _MOST_TOLD),
        request,
        kind,
        in_greenlet,
        not names.isdisjoint(_DEBUGGERS),
    )


def request_of(frame: FrameType | None) -> str:
    """Return the request that the code at `frame` runs for; empty if it is not known."""
    frames: list[FrameType] = []
    while frame is not None and len(frames) < _MOST_LOOKED_AT:
        frames.append(frame)
        frame = frame.f_back
    return next(_requests(frames[::-1]), ("", ""))[1]


def _requests(frames: list[FrameType]) -> Iterator[tuple[str, str]]:
    """Yield kind and name of the requests that are seen in the arguments of apps."""
    for frame in frames:
        names = frame.f_code.co_varnames
        if "scope" in names and (request := _of_scope(frame.f_locals.get("scope"))):
            yield "ASGI", request
        if "environ" in names and (request := _of_environ(frame.f_locals.get("environ"))):
            yield "WSGI", request


def _of_scope(scope: Any) -> str:
    kind = _text(scope, "type")
    if kind not in ("http", "websocket"):
        return ""
    method = _text(scope, "method") if kind == "http" else "WebSocket"
    return _shown(method, _text(scope, "path"))


def _of_environ(environ: Any) -> str:
    method = _text(environ, "REQUEST_METHOD")
    path = _text(environ, "SCRIPT_NAME") + _text(environ, "PATH_INFO")
    return _shown(method, path) if method else ""


def _text(mapping: Any, key: str) -> str:
    """Return a value if it is a string; none of the app's code runs for that."""
    value = dict.get(mapping, key) if isinstance(mapping, dict) else None
    return value if type(value) is str else ""


def _shown(method: str, path: str) -> str:
    """Return both for a line of a log."""
    return ascii(f"{method} {path}"[:_MOST_OF_A_PATH])[1:-1]


@functools.lru_cache(4096)
def _is_plumbing(file: str) -> bool:
    return file.startswith(_PLUMBING)


@functools.lru_cache(4096)
def is_own(file: str) -> bool:
    """Whether a file is the app's own code, or ours: it is in no library."""
    is_installed = any(name in file.split(os.sep) for name in _INSTALLED)
    return not (is_installed or file.startswith(_LIBRARIES))
