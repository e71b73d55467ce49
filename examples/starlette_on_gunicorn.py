"""A Starlette app, unchanged, on a WSGI host.

    gunicorn --chdir examples --threads 8 starlette_on_gunicorn:application

`application` is an ordinary WSGI app, so it runs on waitress, uWSGI or mod_wsgi too. With Gunicorn,
use threads (or `-k gevent`) to have several streams at a time in one process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import (
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from bridge import AsgiToWsgi


async def index(request: Request) -> Response:
    return PlainTextResponse("Hello from Starlette!\n")


async def form(request: Request) -> Response:
    async with request.form() as fields:
        return JSONResponse({name: fields.getlist(name) for name in sorted(fields)})


async def json(request: Request) -> Response:
    return JSONResponse({"received": await request.json()})


async def upload(request: Request) -> Response:
    """Read a form with files; the framework writes large files to temporary files."""
    files, fields = {}, {}
    async with request.form() as form:
        for name, value in sorted(form.items()):
            if isinstance(value, str):
                fields[name] = value
                continue
            digest, size = hashlib.sha256(), 0
            while piece := await value.read(64 * 1024):
                digest.update(piece)
                size += len(piece)
            files[name] = {"filename": value.filename, "size": size, "sha256": digest.hexdigest()}
    return JSONResponse({"files": files, "fields": fields})


async def raw(request: Request) -> Response:
    """Read a body that is not a form, with a Content-Length or chunked."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return JSONResponse({"size": size, "sha256": digest.hexdigest()})


async def download(request: Request) -> Response:
    """Send a body that is made while it is sent: ``/download?size=1000000``."""
    size = int(request.query_params.get("size", 1_000_000))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 10_000):
            yield b"%09d\n" % start * (min(10_000, size - start) // 10)

    return StreamingResponse(pieces(), media_type="text/plain")


async def cookies(request: Request) -> Response:
    """Show the request's cookies, and set two."""
    response = JSONResponse(dict(sorted(request.cookies.items())))
    response.set_cookie("first", "one", path="/", samesite="lax")
    response.set_cookie("second", "two", httponly=True)
    return response


async def away(request: Request) -> Response:
    return RedirectResponse("/", status_code=302)


async def error(request: Request) -> Response:
    raise RuntimeError("on purpose")


async def unread(request: Request) -> Response:
    """Answer without reading the body."""
    return PlainTextResponse("not read\n")


async def ticks(request: Request) -> Response:
    """Send ten events."""

    async def stream() -> AsyncIterator[str]:
        for number in range(10):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(stream(), media_type="text/event-stream")


async def later(request: Request) -> Response:
    """Answer at once, and go on with work after the response."""

    async def work() -> None:
        await asyncio.sleep(0.1)
        request.state.done.append("work")

    return JSONResponse({"done": len(request.state.done)}, background=BackgroundTask(work))


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """Runs on a WSGI host too; what it yields is `request.state`."""
    yield {"done": []}


app = Starlette(
    routes=[
        Route("/", index),
        Route("/form", form, methods=["POST"]),
        Route("/json", json, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/raw", raw, methods=["POST", "PUT"]),
        Route("/download", download),
        Route("/cookies", cookies),
        Route("/redirect", away),
        Route("/error", error),
        Route("/unread", unread, methods=["POST"]),
        Route("/ticks", ticks),
        Route("/later", later),
    ],
    lifespan=lifespan,
)

application = AsgiToWsgi(app)
