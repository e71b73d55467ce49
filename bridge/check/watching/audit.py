"""What Python tells of the code that runs: audit events, in the frame that causes them.

A hook for these cannot be taken away again. There is one for the process, which does nothing unless
a thread has asked for its events.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeAlias

#: Called with the event, its arguments and the frame; what it raises is raised in the app.
Watcher: TypeAlias = Callable[[str, tuple[Any, ...], FrameType], object]

#: The events that are told; others, such as those that a watcher itself causes, are not.
EVENTS: Final = frozenset(
    {
        *("_thread.start_new_thread", "_thread.start_joinable_thread"),
        *("os.fork", "os.posix_spawn", "subprocess.Popen"),
        *("socket.bind", "socket.connect", "sqlite3.connect", "time.sleep"),
    }
)

_watchers: dict[int, Watcher] = {}
_hooked = False
#: Held while watchers come and go.
_lock = threading.Lock()


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Tell `watcher` of what this thread does within."""
    global _hooked
    ident = threading.get_ident()
    with _lock:
        if not _hooked:
            _hooked = True
            sys.addaudithook(_hook)
        _watchers[ident] = watcher
        _replace(told=True)
    try:
        yield
    finally:
        with _lock:
            del _watchers[ident]
            _replace(told=bool(_watchers))


def _hook(
    event: str,
    arguments: tuple[Any, ...],
    # Kept here: at the end of the process the names of this module are gone before the hook is.
    events: frozenset[str] = EVENTS,
    watchers: dict[int, Watcher] = _watchers,
) -> None:
    if event in events and watchers:
        _tell(event, arguments, sys._getframe(1))


def _tell(event: str, arguments: tuple[Any, ...], frame: FrameType) -> None:
    watcher = _watchers.get(threading.get_ident())
    if watcher is not None:
        watcher(event, arguments, frame)


# ------------------------------------------------------------- what older Pythons do not tell

_sleep: Final = time.sleep
_start: Final = threading.Thread.start


def _told_sleep(seconds: float) -> None:
    """Sleep; there is an event for that since Python 3.13 only."""
    _tell("time.sleep", (seconds,), sys._getframe(1))
    # A module may have kept this function, and `time` another one meanwhile: that of a patch.
    current: Any = time.sleep
    (_sleep if current is _told_sleep else current)(seconds)


def _told_start(thread: threading.Thread) -> None:
    """Start a thread; there is an event for that since Python 3.12 only."""
    _tell("_thread.start_new_thread", (thread,), sys._getframe(1))
    _start(thread)


def _replace(*, told: bool) -> None:
    """Put functions that tell in the places of those that do not, or take them away again."""
    for owner, name, original, telling, since in _TELLING:
        if sys.version_info < since:
            old, new = (original, telling) if told else (telling, original)
            if getattr(owner, name) is old:
                setattr(owner, name, new)


_TELLING: Final[tuple[tuple[Any, str, Any, Any, tuple[int, int]], ...]] = (
    (time, "sleep", _sleep, _told_sleep, (3, 13)),
    (threading.Thread, "start", _start, _told_start, (3, 12)),
)
