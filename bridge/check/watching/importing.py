"""Watch an app while it is imported: threads, processes, signal handlers, a server of its own.

What an app does then happens in each worker, and in a process that is forked afterwards.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Literal

from bridge.check.findings import Findings
from bridge.check.places import own_place_of_frame, place_of, shown
from bridge.check.watching.audit import watching
from bridge.errors import AppLoadError
from bridge.loops.frames import current_frames
from bridge.loops.waiters import NativeThread, ThreadWaiter

#: Audit event -> what is found.
_EVENTS: Final = {
    "_thread.start_new_thread": "import-thread",
    "_thread.start_joinable_thread": "import-thread",
    "os.fork": "import-process",
    "os.posix_spawn": "import-process",
    "subprocess.Popen": "import-process",
}
#: Modules that run a server: one of them on the stack when a socket is bound.
_SERVERS: Final = frozenset(
    {
        *("werkzeug.serving", "socketserver", "wsgiref.simple_server", "waitress.server"),
        *("uvicorn.server", "uvicorn.config", "hypercorn.run", "cheroot.server", "gevent.server"),
        *("gevent.pywsgi", "eventlet.wsgi", "tornado.httpserver", "bjoern", "bridge.server.server"),
    }
)
_MOST_FRAMES: Final = 200


class ServerStarted(BaseException):
    """Raised in an app that starts a server when it is imported, before that listens."""


class Importing:
    """Watch what runs within ``with Importing(findings)``, in the thread that enters it.

    If it takes longer than `seconds`, `on_hang` is called, in another thread, with what to say.
    """

    def __init__(
        self,
        findings: Findings,
        seconds: float = 0,
        on_hang: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._findings = findings
        self._seconds = seconds
        self._on_hang = on_hang
        self._ident = 0
        #: The names of the modules that were there before.
        self.known: frozenset[str] = frozenset()
        self._handlers: dict[int, Any] = {}
        #: Woken at the end. The app may replace `threading` meanwhile: these are the originals.
        self._ended: ThreadWaiter | None = None
        self._watching: Any = None

    def __enter__(self) -> Importing:
        """Begin to watch."""
        self.known = frozenset(sys.modules)
        self._handlers = _handlers()
        self._ident = threading.get_ident()
        if self._seconds:
            self._ended = ThreadWaiter()
            NativeThread(self._wait, "bridge-check-import", registered=False).start()
        self._watching = watching(self._audit)
        self._watching.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        """Note what is left behind. Raises `AppLoadError` if the app has started a server."""
        self._watching.__exit__(None, None, None)
        if self._ended is not None:
            self._ended.wake()
        for number, handler in _handlers().items():
            if handler is not self._handlers[number] and handler != self._handlers[number]:
                self._findings.add(
                    "import-signal",
                    _place_of_handler(handler),
                    signal=signal.Signals(number).name,
                )
        for cause in (error, getattr(error, "__cause__", None)):
            if isinstance(cause, ServerStarted):
                raise AppLoadError(str(cause)) from None
        if error is not None and _missing_uwsgi(error):
            raise AppLoadError(
                f"{error}. That module exists under uWSGI only: its timers, spoolers and caches "
                "need another place (a scheduler, a queue), or import it only if it is there"
            ) from None
        return False

    def _audit(self, event: str, arguments: tuple[Any, ...], frame: FrameType) -> None:
        """Take an event of the importing thread. Raises `ServerStarted`."""
        if event == "socket.bind":
            server = _server_on(frame)
            if server is not None:
                place = own_place_of_frame(frame)
                at = f" at {shown(place)}" if place is not None else ""
                raise ServerStarted(
                    f"the app starts a server of its own{at} ({server}) when it is imported; put "
                    'that below if __name__ == "__main__":'
                )
            return
        if event == "sqlite3.connect":
            self._findings.add("c-driver", own_place_of_frame(frame), library="sqlite3")
        id = _EVENTS.get(event)
        place = own_place_of_frame(frame) if id is not None else None
        if id is not None and place is not None:
            self._findings.add(id, place)

    def _wait(self) -> None:
        """Tell of the import if it does not end in time; in a thread of its own."""
        if self._ended is None or self._ended.wait(self._seconds):
            return
        place = own_place_of_frame(current_frames().get(self._ident))
        at = f": it stands at {shown(place)}" if place is not None else ""
        self._on_hang(
            f"the app is still being imported after {self._seconds:g} s{at}; what takes long "
            "belongs in the lifespan or the first request, or raise --time-limit"
        )


# ------------------------------------------------------------- what is looked at


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.Signals}


def _place_of_handler(handler: Any) -> Any:
    return place_of(handler) if callable(handler) else None


def _server_on(frame: Any) -> str | None:
    for _ in range(_MOST_FRAMES):
        if frame is None:
            return None
        name = frame.f_globals.get("__name__")
        if name in _SERVERS:
            return str(name).partition(".")[0]
        frame = frame.f_back
    return None


def _missing_uwsgi(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and cause.name in ("uwsgi", "uwsgidecorators"):
            return True
        cause = cause.__cause__
    return False
