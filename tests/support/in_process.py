"""Call an ASGI app without a server: one scope, what the client sends, what the app answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bridge.types import ASGIApp, Message, Scope


def http_scope(path: str, method: str = "GET", **more: Any) -> Scope:
    """The scope of a plain request; `more` overrides."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.com")],
        "client": ("192.0.2.1", 1234),
        "server": ("192.0.2.2", 80),
        **more,
    }


def websocket_scope(path: str, **more: Any) -> Scope:
    """The scope of a plain WebSocket handshake; `more` overrides."""
    scope = http_scope(path, type="websocket", scheme="ws", subprotocols=[], **more)
    del scope["method"]
    return scope


@dataclass
class Answer:
    """What an app sent, and the parts of an HTTP response in it."""

    messages: list[Message]

    @property
    def status(self) -> int:
        """The status of the response; there must be one."""
        (start,) = [m for m in self.messages if m["type"] == "http.response.start"]
        return int(start["status"])

    @property
    def headers(self) -> dict[str, str]:
        """The fields of the response, by lower-case name."""
        (start,) = [m for m in self.messages if m["type"] == "http.response.start"]
        return {name.decode(): value.decode() for name, value in start.get("headers", [])}

    @property
    def body(self) -> bytes:
        """The body of the response."""
        return b"".join(
            m.get("body", b"") for m in self.messages if m["type"] == "http.response.body"
        )


async def talk(app: ASGIApp, scope: Scope, received: Iterable[Message]) -> Answer:
    """Run `app` with `received`, after which `receive()` waits; no task may be left over."""
    answer = Answer([])
    coming = iter(received)

    async def receive() -> Message:
        for message in coming:
            await asyncio.sleep(0)
            return message
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        await asyncio.sleep(0)
        answer.messages.append(message)

    await asyncio.wait_for(app(scope, receive, send), 20)
    for _ in range(2):  # a cancelled task ends in the loop's next turn, a generator in the second
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, left
    return answer


def http(app: ASGIApp, path: str, body: Iterable[bytes] = (b"",), **scope: Any) -> Answer:
    """One request, with its body in these pieces."""
    pieces = list(body)
    received = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, 1)
    ]
    return asyncio.run(talk(app, http_scope(path, **scope), received))


def websocket(app: ASGIApp, path: str, *received: Message, **scope: Any) -> list[Message]:
    """One WebSocket: the handshake, then `received`; the messages that the app sent."""
    connect: Message = {"type": "websocket.connect"}
    return asyncio.run(talk(app, websocket_scope(path, **scope), [connect, *received])).messages


# ------------------------------------------------------------- one request, and its answer

REQUEST = [{"type": "http.request", "body": b"", "more_body": False}]
CONNECT = [{"type": "websocket.connect"}]


def ask(app: Any, cookie: str | None = None, scope: Scope | None = None) -> Answer:
    """What the app answers a request with this Cookie field."""
    scope = scope or http_scope("/")
    if cookie is not None:
        scope["headers"] = [(b"cookie", cookie.encode("latin-1"))]
    return asyncio.run(talk(app, scope, REQUEST if scope["type"] == "http" else CONNECT))


def fields(answer: Answer, name: str, kind: str = "http.response.start") -> list[str]:
    """The values of one field of the response."""
    (start,) = [m for m in answer.messages if m["type"] == kind]
    return [value.decode() for key, value in start["headers"] if key.lower() == name.encode()]
