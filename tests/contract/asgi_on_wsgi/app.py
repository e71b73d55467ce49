"""The ASGI app that the contract suite runs on every WSGI host, and its WSGI face.

What a test must know of the app's inside it learns from files: the client names a path in the
query (``?note=/tmp/x``), and the app writes there what it heard.
"""

from __future__ import annotations

import asyncio
import atexit
import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from bridge.asgi_to_wsgi import AsgiToWsgi

TEXT = [(b"content-type", b"text/plain")]
#: The app waits for nothing longer than this, in seconds.
LIMIT = 60.0

Handler = Callable[[Any, Any, Any], Awaitable[None]]
HANDLERS: dict[str, Handler] = {}
SOCKETS: dict[str, Handler] = {}
STATE: dict[str, Any] = {}


def handles(path: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        HANDLERS[path] = handler
        return handler

    return register


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(scope, receive, send)
        return
    if scope["type"] == "websocket":
        await SOCKETS[scope["path"]](scope, receive, send)
        return
    handler = HANDLERS.get(scope["path"].removeprefix(scope["root_path"]), missing)
    await handler(scope, receive, send)


async def live(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    STATE["startups"] = STATE.get("startups", 0) + 1
    if folder := os.environ.get("STARTUP_NOTES"):
        (Path(folder) / str(os.getpid())).write_text(str(STATE["startups"]))
    scope["state"].update(pid=os.getpid(), startups=STATE["startups"])
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if note := os.environ.get("SHUTDOWN_NOTE"):
        Path(note).write_text(f"shutdown in {os.getpid()}")
    await send({"type": "lifespan.shutdown.complete"})


@atexit.register
def _note_exit() -> None:
    """Tell that this process ended by way of Python's own exit."""
    if note := os.environ.get("SHUTDOWN_NOTE"):
        Path(f"{note}.exit.{os.getpid()}").touch()


# ------------------------------------------------------------- small words


async def start(send: Any, status: int = 200, headers: Any = TEXT) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def body(send: Any, data: bytes = b"", more: bool = False) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def answer(send: Any, data: bytes, status: int = 200, headers: Any = TEXT) -> None:
    await start(send, status, headers)
    await body(send, data)


def asked(scope: Any, name: str) -> str:
    return parse_qs(scope["query_string"].decode())[name][0]


def note(scope: Any, text: str) -> None:
    """Write where the client asked; whole at once, so that it never reads a half."""
    path = asked(scope, "note")
    with tempfile.NamedTemporaryFile("w", dir=Path(path).parent, delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o666)
    os.replace(file.name, path)


async def whole_body(receive: Any) -> tuple[bytes | None, int]:
    """The request's body and in how many pieces it came; None where it was cut off."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None, len(parts)
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts), len(parts)


# ------------------------------------------------------------- what the tests ask for


async def missing(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"no such page", 404)


@handles("/hello")
async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"Hello, world!")


@handles("/scope")
async def tell_scope(scope: Any, receive: Any, send: Any) -> None:
    told = {**scope, "extensions": sorted(scope["extensions"])}
    await answer(send, json.dumps(told, default=lambda value: value.decode("latin-1")).encode())


@handles("/digest")
async def digest(scope: Any, receive: Any, send: Any) -> None:
    size, pieces, largest, sum_ = 0, 0, 0, hashlib.sha256()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            note(scope, "cut off")
            return
        size, pieces = size + len(message["body"]), pieces + 1
        largest = max(largest, len(message["body"]))
        sum_.update(message["body"])
        more = message["more_body"]
    told = {"size": size, "sha256": sum_.hexdigest(), "pieces": pieces, "largest": largest}
    await answer(send, json.dumps(told).encode())


@handles("/unread")
async def unread(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"not interested")


@handles("/pieces")
async def pieces(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    for number in range(20):
        await body(send, b"%02d," % number * 1000, more=True)
        if number % 5 == 0:
            await asyncio.sleep(0.001)
    await body(send)


@handles("/in-steps")
async def in_steps(scope: Any, receive: Any, send: Any) -> None:
    """The second half leaves only when the client has shown that it has the first."""
    await start(send)
    await body(send, b"first", more=True)
    async with asyncio.timeout(LIMIT):
        while not os.path.exists(asked(scope, "note")):
            await asyncio.sleep(0.005)
    await body(send, b"second")


@handles("/head-first")
async def head_first(scope: Any, receive: Any, send: Any) -> None:
    """The whole body leaves only when the client has shown that it has the head."""
    await start(send)
    async with asyncio.timeout(LIMIT):
        while not os.path.exists(asked(scope, "note")):
            await asyncio.sleep(0.005)
    await body(send, b"late")


@handles("/endless")
async def endless(scope: Any, receive: Any, send: Any) -> None:
    """Streams until the client is gone, and notes how it heard of that."""
    await receive()
    await start(send)
    heard = asyncio.create_task(receive())
    try:
        while True:
            await body(send, b"x" * 16384, more=True)
            await asyncio.sleep(0)
    except OSError as error:
        note(scope, f"{type(error).__name__}, {(await heard)['type']}")
        raise


@handles("/silent")
async def silent(scope: Any, receive: Any, send: Any) -> None:
    """Says something, then waits until the client is gone."""
    await receive()
    await start(send)
    await body(send, b"x", more=True)
    note(scope, (await receive())["type"])


@handles("/wait-for-disconnect")
async def wait_for_disconnect(scope: Any, receive: Any, send: Any) -> None:
    """After the body receive() waits; the response's end wakes it."""
    await whole_body(receive)
    late = asyncio.create_task(receive())
    done, _ = await asyncio.wait([late], timeout=0.05)
    await answer(send, b"it waited" if not done else b"it did not wait")
    note(scope, (await late)["type"])


@handles("/background")
async def background(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"accepted")
    async with asyncio.timeout(LIMIT):
        while not os.path.exists(asked(scope, "note") + ".go"):
            await asyncio.sleep(0.005)
    note(scope, "done in the background")


@handles("/no-body")
async def no_body(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"must not leave", int(asked(scope, "status")), [])


@handles("/headers")
async def many_headers(scope: Any, receive: Any, send: Any) -> None:
    fields = [
        *TEXT,
        (b"set-cookie", b"a=1"),
        (b"connection", b"upgrade"),
        (b"transfer-encoding", b"identity"),
        (b"set-cookie", b"b=2"),
        (b"x-latin", b"\xfc"),
    ]
    await answer(send, b"x", headers=fields)


@handles("/hint")
async def hint(scope: Any, receive: Any, send: Any) -> None:
    offered = "http.response.early_hint" in scope["extensions"]
    if offered:
        links = [b"</style.css>; rel=preload"]
        await send({"type": "http.response.early_hint", "links": links})
    await answer(send, b"hinted" if offered else b"not offered")


@handles("/file")
async def file(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.pathsend" not in scope["extensions"]:
        await answer(send, b"not offered")
        return
    path = asked(scope, "path")
    length = str(os.path.getsize(path)).encode()
    await start(send, headers=[*TEXT, (b"content-length", length)])
    await send({"type": "http.response.pathsend", "path": path})


@handles("/fifo")
async def fifo(scope: Any, receive: Any, send: Any) -> None:
    if "http.response.pathsend" not in scope["extensions"]:
        await answer(send, b"not offered")
        return
    await start(send)
    try:
        await send({"type": "http.response.pathsend", "path": asked(scope, "path")})
    except OSError as error:
        await body(send, type(error).__name__.encode())


# ------------------------------------------------------------- misbehaviour


@handles("/raise")
async def raise_(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("raised before the start")


@handles("/raise-late")
async def raise_late(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    raise ValueError("raised after the start")


@handles("/raise-in-body")
async def raise_in_body(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    await body(send, b"half", more=True)
    await asyncio.sleep(0.01)
    raise ValueError("raised in the body")


@handles("/system-exit")
async def system_exit(scope: Any, receive: Any, send: Any) -> None:
    raise SystemExit(3)


@handles("/return")
async def return_(scope: Any, receive: Any, send: Any) -> None:
    return


@handles("/return-late")
async def return_late(scope: Any, receive: Any, send: Any) -> None:
    await start(send)


@handles("/return-in-body")
async def return_in_body(scope: Any, receive: Any, send: Any) -> None:
    await start(send)
    await body(send, b"half", more=True)


@handles("/never")
async def never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


@handles("/block")
async def block(scope: Any, receive: Any, send: Any) -> None:
    threading.Event().wait(1.2)


@handles("/too-much")
async def too_much(scope: Any, receive: Any, send: Any) -> None:
    await start(send, headers=[*TEXT, (b"content-length", b"3")])
    await body(send, b"abc", more=True)
    await body(send, b"defghi" * 1000)


@handles("/after-the-end")
async def after_the_end(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"the end")
    try:
        await body(send, b"and more")
    except Exception as error:
        note(scope, type(error).__name__)


@handles("/swallow")
async def swallow(scope: Any, receive: Any, send: Any) -> None:
    """Ignores its cancellations, twice."""
    await start(send)
    await body(send, b"x" * 100_000, more=True)
    swallowed = 0
    while swallowed < 2:
        try:
            await body(send, b"x" * 100_000, more=True)
        except (asyncio.CancelledError, OSError) as error:
            swallowed += isinstance(error, asyncio.CancelledError)
    note(scope, "ended at last")


@handles("/spin")
async def spin(scope: Any, receive: Any, send: Any) -> None:
    """Asks for ever what comes next."""
    await start(send)
    await body(send, b"x", more=True)
    try:
        while True:
            await receive()
            await body(send, b"x" * 10_000, more=True)
    except OSError:
        while True:
            await receive()
    finally:
        note(scope, "cancelled")


# ------------------------------------------------------------- WebSockets


async def accept(receive: Any, send: Any, **more: Any) -> None:
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **more})


async def ws_echo(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send, headers=[(b"x-mine", b"1")])
    while (message := await receive())["type"] == "websocket.receive":
        del message["type"]
        await send({"type": "websocket.send", **message})
    if scope["query_string"]:
        note(scope, f"{message['code']} {message['reason']}")


async def ws_scope(scope: Any, receive: Any, send: Any) -> None:
    subprotocols = scope["subprotocols"]
    await accept(receive, send, subprotocol=subprotocols[-1] if subprotocols else None)
    told = {key: scope[key] for key in ("type", "scheme", "path", "subprotocols", "state")}
    await send({"type": "websocket.send", "text": json.dumps(told)})
    await send({"type": "websocket.close", "code": 4001, "reason": "told"})


async def ws_refuse(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def ws_respond(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    assert "websocket.http.response" in scope["extensions"]
    await send({"type": "websocket.http.response.start", "status": 418, "headers": TEXT})
    await send({"type": "websocket.http.response.body", "body": b"no ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"coffee"})


async def ws_raise(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise ValueError("raised before the handshake was answered")


async def ws_raise_late(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)
    raise ValueError("raised while the WebSocket was open")


async def ws_return(scope: Any, receive: Any, send: Any) -> None:
    await accept(receive, send)


async def ws_never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def ws_flood(scope: Any, receive: Any, send: Any) -> None:
    """Sends until the client, who reads nothing, holds it up; notes that, and goes on."""
    await accept(receive, send)
    sent = 0
    while True:
        task = asyncio.create_task(send({"type": "websocket.send", "bytes": b"x" * 65536}))
        done, _ = await asyncio.wait([task], timeout=0.3)
        sent += 1
        if not done:
            break
    note(scope, str(sent))
    await task
    await send({"type": "websocket.send", "text": str(sent)})


async def ws_news(scope: Any, receive: Any, send: Any) -> None:
    """Tells news, of which there are none, and never asks whether its client is still there."""
    await accept(receive, send)
    try:
        await asyncio.Event().wait()
    finally:
        note(scope, "cancelled")


async def ws_late(scope: Any, receive: Any, send: Any) -> None:
    """Accepts when its time is long up, and the client shows that the next ones are here."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        async with asyncio.timeout(LIMIT):
            while not os.path.exists(asked(scope, "note") + ".go"):
                await asyncio.sleep(0.005)
    try:
        await send({"type": "websocket.accept"})
    except OSError as error:
        note(scope, type(error).__name__)
        raise


SOCKETS.update(
    {
        "/late": ws_late,
        "/news": ws_news,
        "/echo": ws_echo,
        "/scope": ws_scope,
        "/refuse": ws_refuse,
        "/respond": ws_respond,
        "/raise": ws_raise,
        "/raise-late": ws_raise_late,
        "/return": ws_return,
        "/never": ws_never,
        "/flood": ws_flood,
    }
)


application = AsgiToWsgi(
    app,
    eager=bool(os.environ.get("EAGER")),
    response_timeout=1.0,
    stream_timeout=3.0,
    disconnect_grace=0.2,
    pathsend=True,
)
