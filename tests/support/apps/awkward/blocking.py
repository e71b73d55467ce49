"""ASGI apps that block their loop, one for a moment, one in a view that nobody asks for."""

from __future__ import annotations

import time
from typing import Any

from tests.support.apps.awkward.asgi import _answer


async def sleepy(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    time.sleep(0.001)
    await _answer(send)


async def elsewhere(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "http"
    if scope["path"] == "/report":
        time.sleep(20)
    await _answer(send)
