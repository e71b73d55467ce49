"""A WSGI app whose requests have a time limit (R2).

All of the app's code runs in `AppCode.call`: the call, each item of what it returns, ``close()``.
What it calls of ours is `AppCode.protected`. The same object is what the app returned, for
`WsgiCall`, which knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol, TypeVar

from bridge.errors import RequestTimeout
from bridge.types import Environ, ExcInfo, StartResponse, TextHeaders, Write, WSGIApp
from bridge.wsgi.call import WsgiCall
from bridge.wsgi.chunks import IN_MEMORY_ITERATORS
from bridge.wsgi.file_wrapper import FileWrapper

T = TypeVar("T")

#: Results that hold no code of the app's that could take long.
_IN_MEMORY: Final = (list, tuple, bytes, str)


class Code(Protocol):
    """The app's code of one request."""

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return ``function(*arguments)``, which is the app's code."""

    def call_late(self, function: Callable[[], object]) -> None:
        """Call what the app has to call at its end."""

    def protected(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return ``function(*arguments)``, which is code of ours that the app calls."""


class Run(Protocol):
    """One request, and its time."""

    answer: Callable[[RequestTimeout], object] | None

    @property
    def code(self) -> Code:
        """The app's code."""

    def begin(self) -> None:
        """Begin, in the thread or greenlet in which the app is about to run."""

    def restart(self) -> None:
        """Count the time anew: a piece of the response was written."""

    def end(self) -> None:
        """Note that all of the app's code has run."""


class Limit(Protocol):
    """The time limit of an app."""

    def new_run(self, name: str) -> Run:
        """Make what watches one request."""


def new_watched_call(limit: Limit | None, app: WSGIApp, environ: Environ, *rest: Any) -> WsgiCall:
    """Make a `WsgiCall` of these arguments, whose app has the time that `limit` says."""
    if limit is None:
        return WsgiCall(app, environ, *rest)
    run = limit.new_run(f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')!r}")
    call = WsgiCall(WatchedApp(app, run), environ, *rest)
    run.answer = call.fail
    return call


class WatchedApp:
    """A WSGI app for one request."""

    def __init__(self, app: WSGIApp, run: Run) -> None:
        self._app = app
        self._run = run
        self._write: Write
        self._start_response: StartResponse

    def __call__(self, environ: Environ, start_response: StartResponse) -> Any:
        """Call the app (PEP 3333)."""
        run = self._run
        self._start_response = start_response
        run.begin()
        try:
            result = run.code.call(self._app, environ, self._start)
        except BaseException:
            run.end()
            raise
        if isinstance(result, (*_IN_MEMORY, FileWrapper)):
            run.end()
            return result
        return (WatchedSized if hasattr(result, "__len__") else WatchedResult)(result, run)

    def _start(self, status: str, headers: TextHeaders, exc_info: ExcInfo | None = None) -> Write:
        """PEP 3333's ``start_response``."""
        try:
            self._write = self._run.code.protected(self._start_response, status, headers, exc_info)
        finally:
            exc_info = None  # no circle through the traceback's frames
        return self._written

    def _written(self, data: bytes) -> None:
        """PEP 3333's ``write``."""
        self._run.code.protected(self._send, data)

    def _send(self, data: bytes) -> None:
        self._write(data)
        if data:
            self._run.restart()


class WatchedResult:
    """What the app returned, and the iterator over it."""

    def __init__(self, result: Any, run: Run) -> None:
        self._result = result
        self._run = run
        #: The app's, once it was asked for.
        self._iterator: Iterator[Any] | None = None
        #: Whether the last item was a piece of the response, which has been sent since.
        self._has_sent = False

    def __iter__(self) -> Iterator[Any]:
        """Return the app's iterator if all its items are in memory, else this object."""
        if self._iterator is not None:
            return self
        iterator: Iterator[Any] = self._run.code.call(iter, self._result)
        self._iterator = iterator
        return iterator if isinstance(iterator, IN_MEMORY_ITERATORS) else self

    def __next__(self) -> Any:
        """Return the next piece."""
        if self._has_sent:
            self._run.restart()
        item = self._run.code.call(next, self._iterator)
        self._has_sent = bool(item)
        return item

    def close(self) -> None:
        """Close what the app returned, if it can be closed."""
        close = getattr(self._result, "close", None)
        try:
            if close is not None:
                self._run.code.call_late(close)
        finally:
            self._run.end()


class WatchedSized(WatchedResult):
    """A result that says how many items it has."""

    def __len__(self) -> int:
        """Return how many."""
        return self._run.code.call(len, self._result)
