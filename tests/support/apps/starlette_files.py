"""A Starlette app that sends files, behind middlewares that look at bodies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from bridge import AsgiToWsgi
from bridge.types import ASGIApp, Message, Receive, Scope, Send

CONTENT = Path(__file__).read_bytes()


async def absolute(request: Request) -> Response:
    return FileResponse(__file__)


async def relative(request: Request) -> Response:
    return FileResponse(os.path.relpath(__file__))


class Gather:
    """Takes the response together, and sends it whole."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def gather(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    await send(start)
                    await send({"type": "http.response.body", "body": bytes(body)})

        await self.app(scope, receive, gather)


class Audit(BaseHTTPMiddleware):
    """Reads the body, and answers with it."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        body = b"".join([chunk async for chunk in response.body_iterator])
        return Response(body, response.status_code, dict(response.headers))


def make(*middlewares: Any) -> Starlette:
    return Starlette(
        routes=[Route("/absolute", absolute), Route("/relative", relative)],
        middleware=[Middleware(middleware) for middleware in middlewares],
    )


plain, gather, audit, compress = make(), make(Gather), make(Audit), make(GZipMiddleware)
wsgi_plain, wsgi_gather, wsgi_audit, wsgi_compress = map(
    AsgiToWsgi, (plain, gather, audit, compress)
)
