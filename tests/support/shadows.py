"""A `Cutover` with a route in mode ``shadow``, called without a server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from bridge import Cutover, Route
from bridge.cutover.shadow.copying.copies import Copies
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.in_process import Answer


def answering(body: bytes | dict[str, Any] = b"same", status: int = 200, **fields: str) -> ASGIApp:
    """An app that always answers the same, and puts the scopes it has seen into `seen`."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    if isinstance(body, dict):
        fields = {"content-type": "application/json", **fields}
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError
        app.seen.append(scope)  # type: ignore[attr-defined]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": data})

    app.seen = []  # type: ignore[attr-defined]
    return app


def shadowed(old: Any, new: Any, **shadow: Any) -> Cutover:
    """All below ``/a/`` is in mode ``shadow``."""
    return Cutover(old, new, [Route("a", "/a/{rest:path}", mode="shadow")], shadow=shadow)


def copies_of(app: Cutover) -> Copies:
    """Its copies, which must be there."""
    assert app.copies is not None
    return app.copies


def counted(app: Cutover) -> dict[str, int]:
    """What has become of the copies of route ``a``, without zeros."""
    counts = copies_of(app).counts().get("a", {})
    return {name: count for name, count in counts.items() if count}


async def asked(app: ASGIApp, scope: Scope) -> Answer:
    """Ask once, without a body; copies may be on their way then."""
    answer = Answer([])

    async def receive() -> Message:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        answer.messages.append(message)

    async with asyncio.timeout(20):
        await app(scope, receive, send)
    return answer


async def until(holds: Callable[[], object], timeout: float = 20) -> None:
    """Let the loop run until `holds()` is true."""
    async with asyncio.timeout(timeout):
        while not holds():
            await asyncio.sleep(0.005)  # the pace of asking, nothing depends on it
