"""The versions of ASGI: the version in a scope, and the wrapper for ASGI 2 apps (L1).

ASGI 3 is one call, ``await app(scope, receive, send)``. ASGI 2 was two, ``app(scope)`` and then
``await instance(receive, send)``. ASGI 1 was consumers that got one message each: `bridge.asgi1`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from bridge.errors import IllegalMessage
from bridge.types import ASGIApp, Receive, Scope, Send

#: ``scope["asgi"]`` of a request, copied into every scope. From 2.4 on Starlette and FastAPI do not
#: notice when a client leaves a stream: see docs/explanation/leaving-clients.md.
HTTP_VERSION: Final = {"version": "3.0", "spec_version": "2.3"}
#: The same for a WebSocket, and for a lifespan.
WEBSOCKET_VERSION: Final = {"version": "3.0", "spec_version": "2.5"}
LIFESPAN_VERSION: Final = {"version": "3.0", "spec_version": "2.0"}

ASGI2Instance: TypeAlias = Callable[[Receive, Send], Awaitable[None]]
ASGI2App: TypeAlias = Callable[[Scope], ASGI2Instance]


class Asgi2AsAsgi3:
    """Wraps an ASGI 2 app, function or class, as ASGI 3; `app` is the app itself (L1)."""

    def __init__(self, app: ASGI2App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Make the app's instance for this scope, and run it."""
        told = {**scope, "asgi": {**scope.get("asgi", {}), "version": "2.0"}}
        instance = self.app(told)
        if not callable(instance):
            raise IllegalMessage(
                f"{self.app!r} returned {instance!r} for its scope; an ASGI 2 app returns a "
                "callable that takes (receive, send)"
            )
        await instance(receive, send)

    def __repr__(self) -> str:
        return f"from_asgi2({self.app!r})"


def from_asgi2(app: ASGI2App) -> ASGIApp:
    """Wrap an ASGI 2 app as ASGI 3; ``app(scope)`` returns ``async (receive, send)``.

    The app sees ``scope["asgi"]["version"] == "2.0"``; the rest of its scope is that of ASGI 3.
    """
    return Asgi2AsAsgi3(app)
