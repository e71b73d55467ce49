"""What PEP 3333 does not allow in a response, and most servers take all the same (W34).

Such a response is served, and the app's log says so: once, for each kind of thing that it does.
"""

from __future__ import annotations

from typing import Any

from bridge.errors import IllegalResponse
from bridge.log import logger


class Leniency:
    """How far the responses of one app are taken as they are meant.

    `strict`: not at all; what PEP 3333 does not allow is then an `IllegalResponse`.
    """

    def __init__(self, app: Any, *, strict: bool = False) -> None:
        self._app = app
        self.strict = strict
        self._warned: dict[str, object] = {}

    def tolerate(self, what: str, done: str) -> None:
        """The app did `what`, and `done` is what comes of it. Warns once, from any thread.

        `what` is one of few texts, without values that an app or a client chooses.
        """
        if self.strict:
            raise IllegalResponse(f"the app {what} (PEP 3333, The start_response() Callable)")
        mine = object()
        if self._warned.setdefault(what, mine) is mine:
            logger.warning(
                "%.200r %s, which PEP 3333 does not allow; %s. Each app is told once; strict makes "
                "it an error",
                self._app,
                what,
                done,
            )


#: For responses of our own.
LENIENT = Leniency("asgi-bridge")
