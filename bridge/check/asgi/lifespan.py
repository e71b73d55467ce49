"""An ASGI app's lifespan, started and shut down around the requests, as a server does it."""

from __future__ import annotations

from typing import Any

from bridge.asgi.lifespan import Lifespan
from bridge.check.answers import shown
from bridge.check.findings import Findings
from bridge.check.places import place_of_error
from bridge.errors import LifespanFailed
from bridge.types import ASGIApp, Message, Receive, Scope, Send


class WatchedLifespan:
    """The lifespan of `app`; `state` is what the app fills, for its requests."""

    def __init__(self, app: ASGIApp, findings: Findings, seconds: float) -> None:
        self._app = app
        self._findings = findings
        self._seconds = seconds
        self._received = self._answered = False
        self._error: BaseException | None = None
        self._lifespan = Lifespan(
            self._call, mode="auto", startup_timeout=seconds, shutdown_timeout=seconds
        )
        self._started = False

    @property
    def state(self) -> dict[str, Any]:
        """What the app has put there."""
        return self._lifespan.state

    async def startup(self) -> None:
        """Start the app; note how that goes."""
        try:
            await self._lifespan.startup()
        except LifespanFailed as error:
            self._failed("startup", error)
            return
        self._started = bool(self._lifespan.supported)
        if self._started:
            return
        error_or_none = self._error
        if error_or_none is not None and self._received:
            place = place_of_error(error_or_none)
            self._findings.add("lifespan-raises", place, error=shown(error_or_none))
        else:
            what = "it returns" if error_or_none is None else f"it raises {shown(error_or_none)}"
            self._findings.add("no-lifespan", what=what)

    async def shutdown(self) -> None:
        """Shut the app down; note how that goes."""
        if not self._started:
            return
        self._answered = False
        try:
            await self._lifespan.shutdown()
        except LifespanFailed as error:
            self._failed("shutdown", error)

    def _failed(self, phase: str, error: LifespanFailed) -> None:
        if not self._answered and self._error is None:
            self._findings.add("lifespan-hangs", phase=phase, seconds=self._seconds)
            return
        cause = self._error
        place = place_of_error(cause) if cause is not None else None
        what = shown(cause) if cause is not None else str(error)
        self._findings.add("lifespan-fails", place, phase=phase, what=what)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting_receive() -> Message:
            message = await receive()
            self._received = True
            return message

        async def noting_send(message: Message) -> None:
            self._answered = True
            await send(message)

        try:
            await self._app(scope, noting_receive, noting_send)
        except Exception as error:
            self._error = error
            raise
