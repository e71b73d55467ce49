"""The same small site in four frameworks, each behind `AsgiToWsgi`.

``/`` greets; ``/form`` takes a form and sets two cookies; ``/upload`` tells the size of a file;
``/stream`` streams; ``/events`` is an event stream; ``/background?note=PATH`` does work after its
response; ``/sync`` runs in a thread; ``/fails`` raises; ``/state`` tells what startup left behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from fastapi import BackgroundTasks, FastAPI, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from quart import Quart, request
from quart import Response as QuartResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import Route

from bridge.asgi_to_wsgi import AsgiToWsgi

PIECES = [b"piece %d\n" % number for number in range(50)]
STATE = {"opened": "yes"}


async def pieces() -> AsyncIterator[bytes]:
    for number, piece in enumerate(PIECES):
        if number % 10 == 0:
            await asyncio.sleep(0.001)
        yield piece


async def events() -> AsyncIterator[bytes]:
    for number in range(3):
        yield b"data: %d\n\n" % number
        await asyncio.sleep(0.01)


async def write(note: str) -> None:
    await asyncio.sleep(0.01)
    Path(note).write_text("in the background")


def blocking() -> str:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return "no loop here"
    return "a loop"


def cookies(response: Any) -> Any:
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


# ------------------------------------------------------------- FastAPI


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
    yield STATE


fast = FastAPI(lifespan=lifespan)


class Stamp(BaseHTTPMiddleware):
    """The middleware that other adapters hang on."""

    async def dispatch(self, request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-stamp"] = "stamped"
        return response


fast.add_middleware(Stamp)


@fast.get("/")
async def fast_greet() -> Any:
    return PlainTextResponse("Hello")


@fast.post("/form")
async def fast_form(name: str = Form()) -> Any:
    return cookies(PlainTextResponse(name))


@fast.post("/upload")
async def fast_upload(file: UploadFile) -> Any:
    return PlainTextResponse(str(len(await file.read())))


@fast.get("/stream")
async def fast_stream() -> Any:
    return StreamingResponse(pieces(), media_type="text/plain")


@fast.get("/events")
async def fast_events() -> Any:
    return StreamingResponse(events(), media_type="text/event-stream")


@fast.get("/background")
async def fast_background(note: str, background: BackgroundTasks) -> Any:
    background.add_task(write, note)
    return {"accepted": True}


@fast.get("/sync")
def fast_sync() -> Any:
    return PlainTextResponse(blocking())


@fast.get("/fails")
async def fast_fails() -> Any:
    raise ValueError("the view failed")


@fast.get("/state")
async def fast_state(request: Request) -> Any:
    return PlainTextResponse(request.state.opened)


# ------------------------------------------------------------- Starlette


async def star_form(request: Any) -> Any:
    return cookies(PlainTextResponse((await request.form())["name"]))


async def star_upload(request: Any) -> Any:
    return PlainTextResponse(str((await request.form())["file"].size))


async def star_background(request: Any) -> Any:
    task = BackgroundTask(write, request.query_params["note"])
    return JSONResponse({"accepted": True}, background=task)


def star_sync(request: Any) -> Any:
    return PlainTextResponse(blocking())


async def star_simple(request: Any) -> Any:
    views = {"/": fast_greet, "/stream": fast_stream, "/events": fast_events, "/fails": fast_fails}
    return await views[request.url.path]()


star = Starlette(
    lifespan=lifespan,
    routes=[
        *(Route(each, star_simple) for each in ("/", "/stream", "/events", "/fails")),
        Route("/form", star_form, methods=["POST"]),
        Route("/upload", star_upload, methods=["POST"]),
        Route("/background", star_background),
        Route("/sync", star_sync),
        Route("/state", fast_state),
    ],
)


# ------------------------------------------------------------- Quart


quart = Quart(__name__)


@quart.before_serving
async def quart_opens() -> None:
    quart.config["OPENED"] = STATE["opened"]


@quart.get("/")
async def quart_greet() -> Any:
    return QuartResponse("Hello")


@quart.post("/form")
async def quart_form() -> Any:
    return cookies(QuartResponse((await request.form)["name"]))


@quart.post("/upload")
async def quart_upload() -> Any:
    return str(len((await request.files)["file"].read()))


@quart.get("/stream")
async def quart_stream() -> Any:
    return pieces(), 200, {"Content-Type": "text/plain"}


@quart.get("/events")
async def quart_events() -> Any:
    return events(), 200, {"Content-Type": "text/event-stream"}


@quart.get("/background")
async def quart_background() -> Any:
    quart.add_background_task(write, request.args["note"])
    return {"accepted": True}


@quart.get("/sync")
def quart_sync() -> Any:
    return blocking()


@quart.get("/fails")
async def quart_fails() -> Any:
    raise ValueError("the view failed")


@quart.get("/state")
async def quart_state() -> Any:
    return quart.config["OPENED"]


# ------------------------------------------------------------- Django


async def dj_greet(request: Any) -> Any:
    return HttpResponse("Hello", content_type="text/plain")


async def dj_form(request: Any) -> Any:
    return cookies(HttpResponse(request.POST["name"]))


async def dj_upload(request: Any) -> Any:
    return HttpResponse(str(request.FILES["file"].size))


async def dj_stream(request: Any) -> Any:
    return StreamingHttpResponse(pieces(), content_type="text/plain")


async def dj_events(request: Any) -> Any:
    return StreamingHttpResponse(events(), content_type="text/event-stream")


_running: set[Any] = set()


async def dj_background(request: Any) -> Any:
    _running.add(asyncio.create_task(write(request.GET["note"])))
    return HttpResponse("accepted")


def dj_sync(request: Any) -> Any:
    return HttpResponse(blocking())


async def dj_fails(request: Any) -> Any:
    raise ValueError(await sync_to_async(lambda: "the view failed")())


async def dj_state(request: Any) -> Any:
    return HttpResponse(STATE["opened"])  # Django knows no lifespan


urlpatterns = [
    path("", dj_greet),
    path("form", dj_form),
    path("upload", dj_upload),
    path("stream", dj_stream),
    path("events", dj_events),
    path("background", dj_background),
    path("sync", dj_sync),
    path("fails", dj_fails),
    path("state", dj_state),
]

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        SECRET_KEY=os.urandom(8).hex(),
        LOGGING_CONFIG=None,
    )
    django.setup(set_prefix=False)


on_fastapi = AsgiToWsgi(fast)
on_starlette = AsgiToWsgi(star)
on_quart = AsgiToWsgi(quart)
on_django = AsgiToWsgi(ASGIHandler())
