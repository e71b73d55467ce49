"""An ASGI app with one path for each way to answer, to leave, and to go wrong.

What happened to a request whose client cannot be told (it has left) is kept, and ``/events`` gives
it as JSON: ``{name: text}``. A name comes as the query of the request.
"""

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from bridge.types import Message, RawHeaders, Receive, Scope, Send

EVENTS: dict[str, str] = {}
STATE: dict[str, Any] = {"started": "yes", "shared": []}
LAST: ContextVar[str] = ContextVar("last", default="")


def start(status: int = 200, *headers: tuple[bytes, bytes], **more: Any) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers), **more}


def body(data: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def answer(send: Send, text: str | bytes, *headers: tuple[bytes, bytes]) -> None:
    data = text if isinstance(text, bytes) else text.encode()
    await send(start(200, (b"content-length", b"%d" % len(data)), *headers))
    await send(body(data))


async def read(receive: Receive) -> bytes:
    data, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionAbortedError("the client left in the middle of its body")
        data += message.get("body", b"")
        more = message.get("more_body", False)
    return data


# ------------------------------------------------------------- answers


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, "hello")


async def respond(scope: Scope, receive: Receive, send: Send) -> None:
    """``?status=&length=&piece=&piece=&header=Name:value``: that response, piece by piece."""
    asked = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    headers: RawHeaders = []
    for line in asked.get("header", ()):
        name, _, value = line.partition(":")
        headers.append((name.encode("latin-1"), value.encode("latin-1")))
    if "length" in asked:
        headers.append((b"Content-Length", asked["length"][0].encode()))
    await send(start(int(asked.get("status", ["200"])[0]), *headers))
    pieces = [piece.encode("latin-1") for piece in asked.get("piece", [""])]
    for piece in pieces[:-1]:
        await send(body(piece, more=True))
    await send(body(pieces[-1]))


async def endless(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends far more than it declared, until it is stopped."""
    await send(start(200, (b"content-length", b"10")))
    try:
        while True:
            await send(body(b"0123456", more=True))
    except OSError:
        EVENTS["endless"] = "stopped by OSError"
        raise


async def trailers(scope: Scope, receive: Receive, send: Send) -> None:
    await send(
        start(200, (b"trailer", b"x-sum"), (b"content-length", b"5"), trailers=True)
        if scope["query_string"] == b"length"
        else start(200, (b"trailer", b"x-sum"), trailers=True)
    )
    await send(body(b"hel", more=True))
    await send(body(b"lo"))
    await send(
        {
            "type": "http.response.trailers",
            "headers": [(b"x-sum", b"1")],
            "more_trailers": True,
        }
    )
    await send({"type": "http.response.trailers", "headers": [(b"x-last", b"2")]})


async def hints(scope: Scope, receive: Receive, send: Send) -> None:
    link = b"</style.css>; rel=preload"
    await send({"type": "http.response.early_hint", "links": [link]})
    await send({"type": "http.response.early_hint", "links": [link, b"</a>; rel=preload"]})
    await answer(send, "hinted")


async def path(scope: Scope, receive: Receive, send: Send) -> None:
    """``?path``, ``?path&length``: a file, by its path."""
    name, _, length = scope["query_string"].decode().partition("&")
    headers = [(b"content-length", length.encode())] if length.isdigit() else []
    await send(start(200, *headers, trailers=length == "trailers"))
    await send({"type": "http.response.pathsend", "path": name})
    if length == "trailers":
        await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def inject(scope: Scope, receive: Receive, send: Send) -> None:
    """A header that would end its line, by its number."""
    bad: list[Any] = [
        (b"x", b"a\r\nSet-Cookie: b"),
        (b"x\r\ny", b"a"),
        (b"x", b"a\nb"),
        (b"x", b"a\0b"),
        (b"x y", b"a"),
        (b"", b"a"),
        (b"x:", b"a"),
        ("x", "a"),
        (b"x", 1),
        (b"content-length", b"-1"),
        (b"content-length", b"1\r\n"),
        (b"x",),
    ]
    headers = [(b"content-type", b"text/plain"), bad[int(scope["query_string"])]]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(body(b"never seen"))


async def second_start(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that mends its own mistake: a start that was refused leaves no trace."""
    try:
        await send(start(200, (b"content-length", b"99"), (b"date", b"x"), (b"x", b"\r\n")))
    except Exception:
        await answer(send, "mended")


# ------------------------------------------------------------- ways to go wrong


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    """``?before``, ``?held``, ``?streaming``, ``?late``, ``?exit``, ``?exit_later``: raises."""
    where = scope["query_string"].decode()
    if where == "exit_later":
        await asyncio.sleep(0.01)
        raise SystemExit(7)
    if where == "exit":
        raise SystemExit(7)
    if where == "before":
        raise RuntimeError("failed before")
    if where == "late":
        await answer(send, "fine")
        raise RuntimeError("failed late")
    await send(start(200))
    if where == "streaming":
        await send(body(b"first", more=True))
    raise RuntimeError(f"failed {where}")


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns without a response, or, with ``?begun``, in the middle of one."""
    if scope["query_string"]:
        await send(start(200))
        await send(body(b"first", more=True))


async def misuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends what may not be sent, and tells what it was told."""
    told = []
    for message in (
        body(b"too early"),
        {"type": "http.response.nonsense"},
        {"no": "type"},
        {"type": "http.response.start", "status": 99},
        {"type": "http.response.start", "status": "200"},
        {"type": "websocket.accept"},
    ):
        try:
            await send(message)
        except Exception as error:
            told.append(type(error).__name__)
    await answer(send, ",".join(told))


# ------------------------------------------------------------- reading and leaving


async def length(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads all of the body, and tells how long it was."""
    await answer(send, str(len(await read(receive))))


async def ignore(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading."""
    await answer(send, "ignored")


async def late_reader(scope: Scope, receive: Receive, send: Send) -> None:
    """Begins to read when ``/release`` is asked for."""
    EVENTS["late_reader"] = "waits"
    await released()
    await answer(send, str(len(await read(receive))))


async def after_body(scope: Scope, receive: Receive, send: Send) -> None:
    """What receive() gives behind the body, and behind the response."""
    await read(receive)
    await answer(send, "done")
    EVENTS["after_body"] = (await receive())["type"]


async def watch(scope: Scope, receive: Receive, send: Send) -> None:
    """Waits until the client leaves, and notes how that was told."""
    name = scope["query_string"].decode()
    EVENTS[name] = "waits"
    kinds = []
    while not kinds or kinds[-1] != "http.disconnect":
        kinds.append((await receive())["type"])
    try:
        await send(start(200))
        await send(body(b"x" * 100_000, more=True))
        await send(body(b"x"))
        told = "nothing"
    except OSError as error:
        told = f"OSError({type(error).__name__})"
    EVENTS[name] = f"{','.join(kinds)} then {told}"


async def pour(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends 64 KiB pieces for ever, and notes how many it could send."""
    name = scope["query_string"].decode()
    count = 0
    await send(start(200))
    try:
        while True:
            await send(body(b"x" * 65536, more=True))
            count += 1
            EVENTS[name] = f"sent {count}"
    except OSError:
        EVENTS[name] = f"OSError after {count}"
        raise


async def sized(scope: Scope, receive: Receive, send: Send) -> None:
    """``?size``: so many bytes in one piece."""
    await answer(send, bytes(range(250)) * (int(scope["query_string"]) // 250))


async def gush(scope: Scope, receive: Receive, send: Send) -> None:
    """``?size``: 250 pieces sent without waiting for anything; then how often others had a turn."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await send(start())
    for _ in range(250):
        await send(body(b"." * int(scope["query_string"]), more=True))
    task.cancel()
    EVENTS["gush"] = str(turns)
    await send(body())


async def drip(scope: Scope, receive: Receive, send: Send) -> None:
    """``?n``: one byte every 0.1 s, n times; stops if it is told that the client left."""
    gone = asyncio.ensure_future(watch_only(receive))
    await send(start(200))
    for _ in range(int(scope["query_string"])):
        done, _ = await asyncio.wait([gone], timeout=0.1)
        if done:
            return
        await send(body(b".", more=True))
    await send(body(b""))
    gone.cancel()


async def watch_only(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def sleep(scope: Scope, receive: Receive, send: Send) -> None:
    """``?s``: answers after that many seconds."""
    await asyncio.sleep(float(scope["query_string"]))
    await answer(send, "slept")


async def until(scope: Scope, receive: Receive, send: Send) -> None:
    """``?file``: answers when there is such a file."""
    while not Path(scope["query_string"].decode()).exists():
        await asyncio.sleep(0.01)  # the pace of looking, nothing depends on it
    await answer(send, "there")


async def hold(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers when ``/release`` is asked for."""
    EVENTS[scope["query_string"].decode() or "hold"] = "waits"
    await released()
    await answer(send, "released")


_RELEASE: list[asyncio.Event] = []


async def released() -> None:
    event = asyncio.Event()
    _RELEASE.append(event)
    await event.wait()


async def release(scope: Scope, receive: Receive, send: Send) -> None:
    for event in _RELEASE:
        event.set()
    _RELEASE.clear()
    await answer(send, "ok")


# ------------------------------------------------------------- looking


async def scope_of(scope: Scope, receive: Receive, send: Send) -> None:
    """The scope, as Python writes it."""
    await answer(send, repr({**scope, "headers": list(scope["headers"])}))


async def state(scope: Scope, receive: Receive, send: Send) -> None:
    """What this request finds in the state; it leaves something of its own there."""
    found = sorted(scope["state"])
    scope["state"]["mine"] = 1
    scope["state"]["shared"].append(1)
    await answer(send, json.dumps([found, len(scope["state"]["shared"])]))


async def context(scope: Scope, receive: Receive, send: Send) -> None:
    """What an earlier request left in the context."""
    found = LAST.get()
    LAST.set(scope["query_string"].decode())
    if scope["query_string"] == b"later":
        await asyncio.sleep(0.01)
    await answer(send, found or "nothing")


async def events(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, json.dumps(EVENTS))


ROUTES = {
    f"/{name}": route
    for name, route in {
        "": hello, "respond": respond, "endless": endless, "trailers": trailers, "hints": hints,
        "path": path, "inject": inject, "second_start": second_start, "fail": fail,
        "silent": silent, "misuse": misuse, "length": length, "ignore": ignore,
        "late_reader": late_reader, "after_body": after_body, "watch": watch, "pour": pour,
        "drip": drip, "gush": gush, "sized": sized, "sleep": sleep, "hold": hold,
        "until": until,
        "release": release, "scope": scope_of, "state": state, "context": context, "events": events,
    }.items()
}  # fmt: skip


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "http":
        await ROUTES.get(scope["path"], scope_of)(scope, receive, send)


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    scope["state"].update(STATE)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("lifespan shutdown ran", flush=True)
    await send({"type": "lifespan.shutdown.complete"})


# ------------------------------------------------------------- apps whose lifespan goes wrong


async def fails_to_start(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the database is away"})


async def raises_at_start(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("I know no lifespan")


async def hangs_at_start(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await asyncio.sleep(3600)


async def fails_to_stop(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "could not say goodbye"})
    else:
        await answer(send, "hello")
