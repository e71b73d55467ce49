"""A WSGI app that sleeps wherever it runs: in its call, in its iteration and in its close.

It has `sleep` by a name of its own. It tells what it runs in, and whether that is the same one all
the time.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from time import sleep
from typing import Any

from bridge import Dispatcher, WsgiToAsgi

#: What each response was closed in: whether that was what it was called in.
closed: list[bool] = []


def here() -> tuple[str, Any]:
    """The thread, and the greenlet if there are any."""
    module = sys.modules.get("greenlet")
    return threading.current_thread().name, None if module is None else module.getcurrent()


class _Slow:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._here = here()

    def __iter__(self) -> Iterator[bytes]:
        for _ in range(2):
            time.sleep(self._seconds)
            yield b"same " if here() == self._here else b"another "

    def close(self) -> None:
        sleep(self._seconds)
        closed.append(here() == self._here)


def wsgi(environ: Any, start_response: Any) -> Any:
    """``/?seconds`` sleeps for so long, four times; ``/closed`` tells how it was closed."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"].endswith("/closed"):
        return [f"{len(closed)} {all(closed)} {time.sleep.__module__}".encode()]
    if environ["PATH_INFO"].endswith("/patched"):
        return [str(hasattr(time.sleep, "__wrapped__")).encode()]
    seconds = float(environ["QUERY_STRING"] or 0)
    sleep(seconds)
    return _Slow(seconds)


#: The same under two runners, which are said in Python.
mounted = Dispatcher(
    {
        "/greenlets": WsgiToAsgi(wsgi, runner="greenlet"),
        "/threads": WsgiToAsgi(wsgi, runner="thread", threads=4),
    }
)

app = WsgiToAsgi(wsgi, runner="greenlet")
