"""Starlette: hello, at the root and for each item."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


async def hello(request):
    return PlainTextResponse("Hello, world!")


asgi = Starlette(routes=[Route("/", hello), Route("/items/{item}", hello)])
