"""The page of the demo: a live table of who answers what, and buttons that turn the switches.

It does what you can do: it asks by ``asgi-bridge cutover status --json``, and gives orders by
``asgi-bridge cutover set``.

A web page that gives orders to its server is for this demo only: do not build one like it. Here
only this machine is answered, under its own name, no other page may show this one in a frame, and
an order needs a token that only the page has: so no other site that you have open can give one.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

HERE = Path(__file__).parent
FOLDER = Path(os.environ["DEMO_FOLDER"])
TOKEN = os.environ["DEMO_TOKEN"]
BROKEN = FOLDER / "broken"
PAGE = (HERE / "page.html").read_text()

ROUTES = ("shop", "items", "cart")
SHARES = (5, 25, 50, 100)
NAMES = ("127.0.0.1", "localhost")
#: Seconds that a command may take.
PATIENCE = 20
#: Which place among the visitors is the first to get the new app, and which the last.
PLACES = {"first": "0", "last": "9999"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; frame-ancestors 'none'"
)

NO_STORE = {"Cache-Control": "no-store"}

# ------------------------------------------------------------- what is shown


async def page(request):
    """The page, with the token for its orders."""
    headers = {"Content-Security-Policy": POLICY, **NO_STORE}
    return HTMLResponse(PAGE.replace("{{ token }}", TOKEN), headers=headers)


async def style(request):
    return FileResponse(HERE / "page.css", headers=NO_STORE)


async def script(request):
    return FileResponse(HERE / "page.js", headers=NO_STORE)


async def events(request):
    """A stream of events, one each second: all that the page shows."""
    return StreamingResponse(seconds(), media_type="text/event-stream", headers=NO_STORE)


async def seconds():
    """Yield what is so now, once a second."""
    while True:
        yield f"data: {json.dumps(await now())}\n\n"
        await asyncio.sleep(1)


async def now():
    """Say how the routes go, what the visitors have seen, and whether the new app is broken."""
    status = await latest.get()
    try:
        load = json.loads((FOLDER / "load.json").read_text())
    except FileNotFoundError:
        load = {"answers": 0, "errors": 0, "running": True}
    return {**status, "load": load, "broken": BROKEN.exists()}


class Latest:
    """What `cutover status` says, asked for at most once a second, for all who look."""

    def __init__(self):
        self._lock = asyncio.Lock()
        self._asked = 0.0
        self._status = {"routes": []}

    async def get(self):
        async with self._lock:
            if time.monotonic() - self._asked >= 0.9:
                code, said = await cutover("status", "--json")
                if code == 0:
                    self._status = json.loads(said)
                self._asked = time.monotonic()
            return self._status


latest = Latest()


async def look(request):
    """The home page as a visitor gets it: the first one to move to the new app, or the last."""
    place = PLACES.get(request.path_params["who"], PLACES["last"])
    url = "http://{}:{}/".format(*request.scope["server"])
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        found = await client.get(url, headers={"Cookie": f"bridge_canary={place}"})
    kept = {name: found.headers[name] for name in ("content-type", "x-served-by")}
    return Response(found.content, found.status_code, {**kept, **NO_STORE})


# ------------------------------------------------------------- orders


async def order(request):
    """Turn the switch of a route, or break the new app, or mend it."""
    given = request.headers.get("x-demo-token", "")
    if not secrets.compare_digest(given.encode(), TOKEN.encode()):
        return PlainTextResponse("the token is not that of this page; load it again", 403)
    try:
        what = await request.json()
    except ValueError:
        what = None
    match what:
        case {"broken": bool(broken)}:
            if broken:
                BROKEN.touch()
            else:
                BROKEN.unlink(missing_ok=True)
            return JSONResponse({"said": ""})
        case {"route": str(route), "share": int(share)} if route in ROUTES and share in SHARES:
            code, said = await cutover("set", route, "canary", "--share", str(share))
        case {"route": str(route), "share": 0} if route in ROUTES:
            code, said = await cutover("set", route, "old")
        case _:
            return PlainTextResponse("that is no order", 400)
    return JSONResponse({"said": said}, 200 if code == 0 else 500)


async def cutover(*words):
    """Run `asgi-bridge cutover`; returns its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge", "cutover", *words, "--socket", str(FOLDER / "ctl")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
    except TimeoutError:
        return 1, "no answer in time"
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, (out or errors).decode().strip()


# ------------------------------------------------------------- only here

pages = Starlette(
    routes=[
        Route("/", page),
        Route("/page.css", style),
        Route("/page.js", script),
        Route("/events", events),
        Route("/look/{who}", look),
        Route("/orders", order, methods=["POST"]),
    ]
)


async def app(scope, receive, send):
    """Answer this machine only, and only under its own name: not what another name leads to it."""
    if scope["type"] == "http":
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").partition(":")[0]
        if host not in NAMES or (scope["client"] or ("",))[0] != "127.0.0.1":
            refusal = PlainTextResponse("only http://127.0.0.1 is answered", 403)
            await refusal(scope, receive, send)
            return
    await pages(scope, receive, send)
