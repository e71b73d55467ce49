"""The versions of ASGI: what a scope says of them, and older apps as ASGI 3 apps (rules L).

ASGI 3 is one call, ``await app(scope, receive, send)``. ASGI 2 was two, ``app(scope)`` and then
``await instance(receive, send)``; ASGI 1 was consumers that got one message each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from bridge.errors import ConfigError, IllegalMessage
from bridge.types import ASGIApp, Receive, Scope, Send

#: What ``scope["asgi"]`` says of a request; copied into every scope. At 2.4 and above Starlette and
#: FastAPI no longer listen for a client that leaves a stream: see
#: docs/explanation/leaving-clients.md.
HTTP_VERSION: Final = {"version": "3.0", "spec_version": "2.3"}
#: The same of a WebSocket, and of a lifespan.
WEBSOCKET_VERSION: Final = {"version": "3.0", "spec_version": "2.5"}
LIFESPAN_VERSION: Final = {"version": "3.0", "spec_version": "2.0"}

ASGI2Instance: TypeAlias = Callable[[Receive, Send], Awaitable[None]]
ASGI2App: TypeAlias = Callable[[Scope], ASGI2Instance]
#: An ASGI 1 consumer, in any of its historic shapes (L2).
Consumer: TypeAlias = Callable[..., Any]


class Asgi2AsAsgi3:
    """An ASGI 2 app, function or class, as ASGI 3; `app` is the app itself (L1)."""

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
    """An ASGI 2 app (``app(scope)`` gives a coroutine callable of ``(receive, send)``) as ASGI 3.

    The app is told ``scope["asgi"]["version"] == "2.0"``; in all else its scope is today's.
    """
    return Asgi2AsAsgi3(app)


def from_asgi1(consumer: Consumer, *, response_timeout: float = 120.0) -> ASGIApp:
    """An ASGI 1 consumer as ASGI 3; `response_timeout` in seconds, then 503 (L2-L4).

    Not served yet: raises `ConfigError`.
    """
    raise ConfigError(
        f"{consumer!r} is an ASGI 1 consumer (response timeout {response_timeout} s); "
        "this version serves ASGI 3, ASGI 2 and WSGI apps only"
    )
