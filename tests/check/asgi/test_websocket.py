"""One WebSocket to an ASGI app (M51)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.check.asgi.websocket import WebSocketCall
from bridge.check.findings import Findings
from tests.support.apps.awkward.asgi import good


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def says_nothing(scope: Any, receive: Any, send: Any) -> None: ...


async def waits(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def raises_later(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    raise KeyError("room")


async def confused(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.accept"})


async def sends_to_nobody(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.close"})
    await send({"type": "websocket.send", "text": "too late"})


async def stays(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("app", "found"),
    [
        (good, {"websocket", "sockets-on-wsgi"}),
        (refuses, {"websocket"}),
        (says_nothing, {"websocket"}),
        (waits, {"websocket-hangs"}),
        (raises_later, {"raises", "sockets-on-wsgi"}),
        (confused, {"illegal-message", "websocket", "sockets-on-wsgi"}),
        (sends_to_nobody, {"websocket", "sockets-on-wsgi"}),
        (stays, {"ignores-leaving", "websocket", "sockets-on-wsgi"}),
    ],
)
def test_what_becomes_of_it(app: Any, found: set[str]) -> None:
    """M51: taken or refused, both are in order; hanging, raising and confusion are not."""
    findings = Findings()

    async def run() -> None:
        await WebSocketCall(app, findings, state={"ready": True})(0.2)

    asyncio.run(run())
    assert {each.id for each in findings} == found
