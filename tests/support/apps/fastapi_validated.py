"""A FastAPI app with the routes of the examples, and through `AsgiToWsgi` under the validator."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import Cookie, FastAPI, Form, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import BaseModel

from bridge import AsgiToWsgi
from tests.support.validated import typed, validated

app = FastAPI()


class Item(BaseModel):
    """What /json takes."""

    name: str
    tags: list[str]


@app.middleware("http")
async def mark(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """BaseHTTPMiddleware stands between host and app in many real apps."""
    response = await call_next(request)
    response.headers["x-marked"] = request.method
    return response


@app.api_route("/", methods=["GET", "HEAD"])
async def index() -> PlainTextResponse:
    """A page."""
    return PlainTextResponse("Hello from FastAPI!\n")


@app.post("/form")
async def form(
    name: Annotated[list[str], Form()], language: Annotated[str, Form()]
) -> dict[str, Any]:
    """A form, checked."""
    return {"language": [language], "name": name}


@app.post("/json")
def json(item: Item) -> dict[str, Any]:
    """JSON, checked, in one of FastAPI's threads."""
    return {"received": item.model_dump()}


@app.post("/upload")
async def upload(file: UploadFile, title: Annotated[str, Form()]) -> dict[str, Any]:
    """A file."""
    digest, size = hashlib.sha256(), 0
    while piece := await file.read(64 * 1024):
        digest.update(piece)
        size += len(piece)
    told = {"filename": file.filename, "size": size, "sha256": digest.hexdigest()}
    return {"files": {"file": told}, "fields": {"title": title}}


@app.post("/raw")
async def raw(request: Request) -> dict[str, Any]:
    """A bare body."""
    digest, size = hashlib.sha256(), 0
    async for piece in request.stream():
        digest.update(piece)
        size += len(piece)
    return {"size": size, "sha256": digest.hexdigest()}


@app.get("/download")
async def download(size: int = 1_000_000) -> StreamingResponse:
    """Made while it is sent."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 10_000):
            yield b"%09d\n" % start * (min(10_000, size - start) // 10)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/cookies")
async def cookies(
    response: Response, a: Annotated[str, Cookie()], b: Annotated[str, Cookie()]
) -> dict[str, str]:
    """What came, and two to take away."""
    response.set_cookie("first", "one", path="/", samesite="lax")
    response.set_cookie("second", "two", httponly=True)
    return {"a": a, "b": b}


@app.get("/redirect")
async def away() -> RedirectResponse:
    """To the page."""
    return RedirectResponse("/", status_code=302)


@app.get("/error")
async def error() -> None:
    """A bug."""
    raise RuntimeError("on purpose")


@app.post("/unread")
async def unread() -> PlainTextResponse:
    """Answer without a look at the body."""
    return PlainTextResponse("not read\n")


asgi = typed(app)
wsgi = validated(AsgiToWsgi(asgi))
