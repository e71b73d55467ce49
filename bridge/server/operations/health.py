"""Whether a server is alive, and whether it is to be sent requests (O1).

Live: its loop turns, or it would not answer. Ready: it has started, and does not stop. That ends
before the server refuses anything, so that a balancer which asks once a second sends nothing more
to it by then (`drain_delay`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.log import logger
from bridge.server.exchange import Connection, Exchange, Handler
from bridge.server.lifecycle.stopping import unless
from bridge.server.operations.answers import Answer, Answers, OwnHandler, in_words
from bridge.server.request import Request


class Health:
    """The health of one server: of a process, or of the supervisor of several.

    `has_started` says whether requests are served now.
    """

    def __init__(self, has_started: Callable[[], bool]) -> None:
        self._has_started = has_started
        self._is_draining = False

    def drain(self) -> None:
        """Note that the server stops soon: it is not ready any more."""
        self._is_draining = True

    @property
    def is_ready(self) -> bool:
        """Whether the server is to be sent requests."""
        return self._has_started() and not self._is_draining

    def live(self) -> Answer:
        """Answer whether the loop turns."""
        return in_words(200, "live")

    def ready(self) -> Answer:
        """Answer whether the server is to be sent requests: 200, or 503 with the reason."""
        if self.is_ready:
            return in_words(200, "ready")
        return in_words(503, "stopping" if self._is_draining else "starting")


async def drain(health: Health, delay: float, cut: asyncio.Event) -> None:
    """Be ready no more, and serve on for `delay` seconds, or until `cut`."""
    health.drain()
    if delay:
        logger.info("not ready any more; it stops in %g s", delay)
        await unless(cut, asyncio.sleep(delay))


class HealthHandler:
    """Stands before the handler of the app: it answers two paths itself.

    `PATH` says whether the server is ready, `PATH/live` whether it is live; as they are, and below
    `root_path`, for a proxy may leave that in the path or not.
    """

    def __init__(self, path: str, root_path: str, health: Health, handler: Handler) -> None:
        answers: dict[str, Callable[[], Answer]] = {}
        for start in {"", root_path}:
            answers[f"{start}{path}"] = health.ready
            answers[f"{start}{path}/live"] = health.live
        self._answers: Answers = answers
        self._open_own = OwnHandler(answers).open
        self._open = handler.open

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange of the app's handler, or one for health."""
        if request.path in self._answers:
            return self._open_own(connection, request)
        return self._open(connection, request)
