"""Responses that PEP 3333 does not allow, but that most servers accept (W34).

Such a response is served, and a warning is logged: once for each app and each kind of mistake.
"""

from __future__ import annotations

from typing import Any

from bridge.errors import IllegalResponse
from bridge.log import logger


class Leniency:
    """Accepts the mistakes of one app's responses, with a warning for each kind.

    `strict`: accepts none; what PEP 3333 does not allow is then an `IllegalResponse`.
    """

    def __init__(self, app: Any, *, strict: bool = False) -> None:
        self._app = app
        self.strict = strict
        self._warned: dict[str, object] = {}

    def tolerate(self, what: str, done: str) -> None:
        """Warn, once for each `what`, that the app did it, and that the bridge did `done` instead.

        Any thread may call this. `what` is one of a few fixed texts, without values that an app or
        a client chooses. Raises `IllegalResponse` if strict.
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
