"""Start threads, if they will run: under gevent's or eventlet's monkey patching they may not.

Their greenlets run only while their own loop does. Under ours, unless it waits in gevent's (as the
loop of `AsgiToWsgi` does), a "thread" would be started, and nothing would ever happen in it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from bridge.errors import AppLoadError
from bridge.log import logger
from bridge.loops.waiters import threads_replaced_by, waits_in_gevent


def check_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Raise `AppLoadError` if threads are greenlets in this process, and `loop` runs none."""
    by = threads_replaced_by()
    if by and not (by == "gevent" and waits_in_gevent(loop)):
        raise AppLoadError(
            f"{by} has put greenlets in the place of threads (monkey patching), and those do not "
            f"run under this event loop: {_INSTEAD[by]}, or take the patching out of it"
        )


_INSTEAD = {
    "gevent": "serve this app with gunicorn -k gevent (ASGI apps beside it by AsgiToWsgi)",
    "eventlet": "serve this app with eventlet.wsgi, or another host on eventlet's loop",
}


def start_thread(main: Callable[[], object], name: str, loop: asyncio.AbstractEventLoop) -> None:
    """Start a daemon thread, which `loop` must not keep from running.

    Raises RuntimeError or MemoryError if the system has no more, `AppLoadError` if the app has
    replaced threads in the meantime.
    """
    check_threads(loop)
    threading.Thread(target=main, name=name, daemon=True).start()


class ThreadStarter:
    """Starts the threads of a pool; logs once that there are no more, and once that there are."""

    def __init__(self) -> None:
        #: Why no thread could be started at the last try.
        self.shortage: Exception | None = None

    def start(
        self, main: Callable[[], object], name: str, loop: asyncio.AbstractEventLoop, others: int
    ) -> bool:
        """Start one; False if that cannot be. `others` is how many there are."""
        try:
            start_thread(main, name, loop)
        except Exception as error:  # of the system or, as the app has replaced threads, ours
            self.failed(error, others)
            return False
        if self.shortage is not None:
            self.shortage = None
            logger.warning("threads can be started again")
        return True

    def failed(self, error: Exception, others: int) -> None:
        """Note that no thread could be started, and log it if that is new."""
        if self.shortage is None:
            logger.error(
                "no thread can be started: requests wait for the %d that there are, and get a "
                "503 if there are none. %s",
                others,
                error
                if isinstance(error, AppLoadError)
                else f"{error!r}: the limits of processes and memory say how many there can be",
            )
        self.shortage = error
