"""Whether middleware passes ``close()`` on: the app inside it gets a response that notes this.

Middleware that keeps the app in an attribute is seen; what a function's closure holds is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from bridge.arguments.kinds import WRAPPED_IN, detect
from bridge.check.findings import Findings
from bridge.check.places import place_of
from bridge.errors import ConfigError

_DEEPEST: Final = 8


def check_close(app: Any, run: Callable[[], object], findings: Findings) -> None:
    """Call `run`, which sends a request to `app`; note middleware that does not close."""
    for owner, name, inner in list(_chain(app)):
        with _replaced(owner, name, inner) as watched:
            run()
        if watched.called and not watched.closed:
            findings.add("not-closed", place_of(owner))


def _chain(app: Any) -> Iterator[tuple[Any, str, Any]]:
    """Yield each middleware, its attribute that holds the app inside, and that app."""
    for _ in range(_DEEPEST):
        for name in WRAPPED_IN:
            inner = getattr(app, "__dict__", {}).get(name)
            if inner is not None and _is_wsgi(inner):
                yield app, name, inner
                app = inner
                break
        else:
            return


def _is_wsgi(thing: Any) -> bool:
    try:
        return callable(thing) and detect(thing) == "wsgi"
    except ConfigError:
        return False


@contextmanager
def _replaced(owner: Any, name: str, inner: Any) -> Iterator[_Watched]:
    watched = _Watched(inner)
    try:
        setattr(owner, name, watched)
    except Exception:  # it may not be changed
        watched.called = False
        yield watched
        return
    try:
        yield watched
    finally:
        setattr(owner, name, inner)


class _Watched:
    """The app inside; other attributes are its own."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.called = self.closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        result = self._app(environ, start_response)
        self.called = True
        return _Response(result, self)


class _Response:
    """What the app inside returned; it notes that it is closed."""

    def __init__(self, result: Any, watched: _Watched) -> None:
        self._result = result
        self._watched = watched

    def __iter__(self) -> Iterator[Any]:
        return iter(self._result)

    def close(self) -> None:
        self._watched.closed = True
        close = getattr(self._result, "close", None)
        if close is not None:
            close()
