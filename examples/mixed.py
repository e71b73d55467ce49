"""An old WSGI app at / and a new async app at /api, on one server, in one process.

    asgi-bridge serve --app-dir examples mixed:app

The old app (WebOb) is a guestbook with a form, an upload, a cookie and a download. The new one
(Starlette) has JSON, a stream of events and a WebSocket. Neither app knows the other; links on
their common page connect them.
"""

from __future__ import annotations

import asyncio
import hashlib
import html
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from webob import Request, Response
from webob.dec import wsgify
from webob.exc import HTTPNotFound, HTTPSeeOther

from bridge import Dispatcher

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body {{ font: 17px/1.5 system-ui, sans-serif; max-width: 40em; margin: 2em auto;
padding: 0 1em; overflow-wrap: anywhere }}
nav a {{ display: inline-block; padding: .3em .6em; margin: 0 .3em .4em 0; background: #eef;
border-radius: .3em }}
section {{ border-left: 4px solid #8ac; padding-left: 1em; margin: 1.5em 0 }}
input, button {{ font: inherit; max-width: 100% }}</style>
<h1>{title}</h1>
<p id="about">Two web apps share this site, in one process: an old one (WebOb, WSGI, in threads) at
<code>/</code>, and a new one (Starlette, ASGI, async) at <code>/api</code>. Neither was changed for
that. <strong>This page comes from {by}.</strong></p>
<nav>The old app: <a href="/">guestbook</a> <a href="/download">download</a><br>
The new app: <a href="/api">live</a> <a href="/api/clock">clock</a>
<a href="/api/events">events</a></nav>
{body}
</html>
"""

OLD, NEW = "the old app", "the new app"

GUESTBOOK = """
<p id="visits">This is visit {visits}.</p>
<section><h2>Entries</h2><p>A form that the old app reads:</p><ul id="entries">{entries}</ul>
<form method="post" action="/sign"><input name="entry" placeholder="I was here" required>
<button>Sign</button></form></section>
<section><h2>Upload</h2><p>A file that it reads in pieces, however large:</p>
<form method="post" action="/upload" enctype="multipart/form-data">
<input type="file" name="file" required> <button>Upload</button></form></section>
"""

LIVE = """
<section><h2>Events</h2><p>The new app's time, sent every second:</p>
<p id="tick">...</p></section>
<section><h2>WebSocket</h2><p>What you send, it sends back:</p>
<form id="say"><input name="text" value="hello"> <button>Send</button></form>
<p id="heard"></p></section>
<script>
new EventSource("/api/events").onmessage = event => tick.textContent = event.data;
const socket = new WebSocket(location.origin.replace("http", "ws") + "/api/echo");
socket.onmessage = event => heard.textContent = event.data;
say.onsubmit = event => { event.preventDefault(); socket.send(say.text.value); };
</script>
"""


def page(title: str, by: str, body: str) -> str:
    """Make a page of either app; `by` says which app made it."""
    return PAGE.format(title=title, by=by, body=body)


# ------------------------------------------------------------- the old app: synchronous, WSGI

entries = ["The first entry"]


@wsgify
def legacy(request: Request) -> Response:
    """A WSGI app, as people have written them for twenty years."""
    view = {
        ("GET", "/"): guestbook,
        ("POST", "/sign"): sign,
        ("POST", "/upload"): upload,
        ("GET", "/download"): download,
    }.get(("GET" if request.method == "HEAD" else request.method, request.path_info))
    if view is None:
        raise HTTPNotFound(f"There is no {request.path_info} here.")
    return view(request)


def guestbook(request: Request) -> Response:
    """Show the entries, and how often this browser has been here."""
    seen = request.cookies.get("visits", "0")
    visits = int(seen) + 1 if seen.isdecimal() else 1
    listed = "".join(f"<li>{html.escape(entry)}</li>" for entry in entries)
    response = Response(
        text=page("Guestbook", OLD, GUESTBOOK.format(visits=visits, entries=listed))
    )
    response.set_cookie("visits", str(visits), samesite="lax")
    return response


def sign(request: Request) -> Response:
    """Add an entry, and redirect to the list."""
    entries.append(request.POST.get("entry", "")[:200])
    raise HTTPSeeOther(location="/")


def upload(request: Request) -> Response:
    """Show what was uploaded; it is read in pieces."""
    field = request.POST.get("file")
    if not hasattr(field, "file"):
        return Response("Choose a file first.", status=400, content_type="text/plain")
    digest, size = hashlib.sha256(), 0
    while piece := field.file.read(64 * 1024):
        digest.update(piece)
        size += len(piece)
    name = html.escape(field.filename)
    return Response(
        text=page(
            "Uploaded", OLD, f"<p id='uploaded'>{name}: {size} bytes, {digest.hexdigest()}</p>"
        )
    )


def download(request: Request) -> Response:
    """Send ten thousand lines, made while they are sent."""

    def lines() -> Iterator[bytes]:
        for number in range(10_000):
            yield b"line %d\n" % number

    return Response(app_iter=lines(), content_type="text/plain")


# ------------------------------------------------------------- the new app: asynchronous, ASGI


async def live(request: StarletteRequest) -> HTMLResponse:
    """Show the page with the events and the WebSocket."""
    return HTMLResponse(page("Live", NEW, LIVE))


async def clock(request: StarletteRequest) -> JSONResponse:
    """Return the time, and how long the app has been running."""
    up = time.monotonic() - request.state.started
    return JSONResponse({"now": time.strftime("%H:%M:%S"), "up_seconds": round(up, 1)})


async def events(request: StarletteRequest) -> StreamingResponse:
    """Send an event every second."""

    async def ticks() -> AsyncIterator[str]:
        while True:
            yield f"data: {time.strftime('%H:%M:%S')}\n\n"
            await asyncio.sleep(1)

    return StreamingResponse(ticks(), media_type="text/event-stream")


async def echo(socket: WebSocket) -> None:
    """Send each message back."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """The new app's own startup; the dispatcher runs it."""
    yield {"started": time.monotonic()}


modern = Starlette(
    routes=[
        Route("/", live),
        Route("/clock", clock),
        Route("/events", events),
        WebSocketRoute("/echo", echo),
    ],
    lifespan=lifespan,
)

app = Dispatcher({"/api": modern, "/": legacy})

if __name__ == "__main__":
    import bridge

    bridge.serve(app)
