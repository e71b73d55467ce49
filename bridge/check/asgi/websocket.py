"""One WebSocket to an ASGI app: whether it is taken, and whether the app ends with it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from bridge.asgi import messages
from bridge.check.answers import shown
from bridge.check.asgi.ending import end
from bridge.check.findings import Findings
from bridge.check.places import place_of_error
from bridge.check.requests import Request
from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.types import ASGIApp, Message, Scope

_NAME: Final = "a WebSocket to /"


class WebSocketCall:
    """One handshake at /; if it is accepted, the client leaves at once."""

    def __init__(
        self, app: ASGIApp, findings: Findings, root_path: str = "", state: Any = None
    ) -> None:
        self._app = app
        self._findings = findings
        self._phase: str = messages.WAITING
        self._accepted = False
        self._connected = False
        self._answered = asyncio.Event()
        self._scope = _scope(root_path, state or {})

    async def __call__(self, seconds: float) -> None:
        """Run it, for `seconds` at most. Raises nothing."""
        task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        await asyncio.wait({task}, timeout=seconds)
        answered = self._phase != messages.WAITING
        ended = await end(task, _NAME, self._findings, is_late=answered)
        error = None if not task.done() or task.cancelled() else task.exception()
        if error is not None and not (answered and isinstance(error, OSError | IllegalMessage)):
            id = "raises" if self._accepted else "websocket-raises"
            place = place_of_error(error)
            self._findings.add(id, place, request=_NAME, error=shown(error))
        elif not answered and not ended:
            self._findings.add("websocket-hangs", seconds=seconds)
        else:
            self._findings.add("websocket", what="accepted" if self._accepted else "refused")
        if self._accepted:
            self._findings.add("sockets-on-wsgi")

    async def _receive(self) -> Message:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        await self._answered.wait()
        return {"type": "websocket.disconnect", "code": 1001}

    async def _send(self, message: Message) -> None:
        try:
            self._phase = messages.next_phase(messages.WEBSOCKET, self._phase, message)
        except IllegalMessage as error:
            if self._accepted and self._phase == messages.OVER:
                raise ClientDisconnected("the client has left") from None
            if self._phase != messages.WAITING:
                self._findings.add("illegal-message", request=_NAME, what=error)
            raise
        self._accepted |= message["type"] == messages.ACCEPT
        self._answered.set()


def _scope(root_path: str, state: dict[str, Any]) -> Scope:
    return {
        **Request("GET", "/").scope(root_path),
        "type": "websocket",
        "scheme": "ws",
        "subprotocols": [],
        "state": dict(state),
    }
