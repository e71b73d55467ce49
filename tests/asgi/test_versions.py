"""Older ASGI apps behind the ASGI 3 face."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.asgi.versions import ASGI2Instance, from_asgi2
from bridge.errors import IllegalMessage
from bridge.types import ASGIApp, Message, Receive, Scope, Send


class ClassApp:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, receive: Receive, send: Send) -> None:
        await send({"type": "told", "scope": self.scope, "received": await receive()})


def function_app(scope: Scope) -> ASGI2Instance:
    return ClassApp(scope).__call__


def run(app: ASGIApp, scope: Scope) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent


@pytest.mark.parametrize("app", [ClassApp, function_app])
def test_asgi2_functions_and_classes_are_called_twice(app: Any) -> None:
    """L1: a double callable gets the scope, told its own version, then receive and send."""
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.5"}, "path": "/x"}
    (message,) = run(from_asgi2(app), scope)
    assert message["received"] == {"type": "http.request"}
    assert message["scope"] == {**scope, "asgi": {"version": "2.0", "spec_version": "2.5"}}
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.5"}


def test_an_app_that_is_no_asgi2_app_says_so() -> None:
    """L1: an app that returns no callable is named, with what it returned."""
    with pytest.raises(IllegalMessage, match=r"returned None.*\(receive, send\)"):
        run(from_asgi2(lambda scope: None), {"type": "http"})  # type: ignore[arg-type,return-value]
    assert "ClassApp" in repr(from_asgi2(ClassApp))
