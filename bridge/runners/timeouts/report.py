"""Where a request stands, for the log: its stack, and the line of the app that it is in (R2)."""

from __future__ import annotations

import linecache
import sysconfig
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeAlias

#: The most calls of a stack that are told: the innermost ones.
_MOST_CALLS: Final = 30

#: What is below these folders is no code of the app's.
_OURS: Final = str(Path(__file__).parents[2])
_LIBRARIES: Final = tuple(
    {
        path
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
        if (path := sysconfig.get_path(name))
    }
)


#: File, line, function.
Call: TypeAlias = tuple[str, int, str]


def calls_of_frame(frame: FrameType | None, outermost: Any = None) -> list[Call]:
    """Return the calls from `frame`, the innermost, to that of the code object `outermost`."""
    calls: list[Call] = []
    while frame is not None and frame.f_code is not outermost:
        calls.append(_call(frame))
        frame = frame.f_back
    return calls


def calls_of_coroutine(coroutine: Any) -> list[Call]:
    """Return where a coroutine stands that waits, the innermost call first."""
    calls: list[Call] = []
    while coroutine is not None and len(calls) < 10 * _MOST_CALLS:
        kind = next((k for k in ("cr", "gi", "ag") if hasattr(coroutine, f"{k}_frame")), None)
        if kind is None:
            break
        frame = getattr(coroutine, f"{kind}_frame")
        if frame is not None:
            calls.append(_call(frame))
        coroutine = getattr(coroutine, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
    return calls[::-1]


def _call(frame: FrameType) -> Call:
    return frame.f_code.co_filename, frame.f_lineno or 0, frame.f_code.co_qualname


class Place:
    """Where the code of one request stands: `line` is the app's innermost, `stack` all of them."""

    __slots__ = ("line", "stack")

    def __init__(self, calls: list[Call]) -> None:
        """Take the calls, the innermost first."""
        own = next((call for call in calls if _is_of_app(call[0])), calls[0] if calls else None)
        #: ``file.py:12 in view``.
        self.line = "an unknown place" if own is None else f"{own[0]}:{own[1]} in {own[2]}"
        self.stack = "\n".join(map(_shown, calls[:_MOST_CALLS][::-1])) or "  (no stack)"


def _is_of_app(file: str) -> bool:
    return not any(map(file.startswith, (_OURS, *_LIBRARIES, "<frozen ")))


def _shown(call: Call) -> str:
    file, line, function = call
    # For "<string>", Python may have the line of another text: of ``python -c``.
    source = "" if file.startswith("<") else linecache.getline(file, line).strip()
    return f'  File "{file}", line {line}, in {function}' + (f"\n    {source}" if source else "")
