"""ASGI 1 consumers of every shape and habit, mounted side by side; on ASGI and on WSGI hosts."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import bridge
from bridge.asgi1.message import Message
from bridge.errors import IllegalMessage

PLAIN = [(b"content-type", b"text/plain")]

# ------------------------------------------------------------- one for each shape


def answer(content: Any) -> dict[str, Any]:
    """The reply of all shapes: what the request was."""
    query, path = content["query_string"].decode(), content["path"].rpartition("/")[2]
    text = f"{content['method']} {path} {query} {content['body'].decode()}"
    return {"status": 200, "headers": PLAIN, "content": text.encode()}


def shape_a(message: Any) -> None:
    """As in the worker of 2017."""
    message["reply_channel"].send(answer(message["message"]))


def shape_b(message: Message) -> None:
    """As in Channels 1."""
    message.reply_channel.send(answer(message.content))


async def shape_c(message: dict[str, Any], channels: Mapping[str, Any]) -> None:
    """As in the coroutines that came next."""
    await channels["reply"].send(answer(message))


async def coroutine(message: Message) -> None:
    """One argument, and waits."""
    await asyncio.sleep(0)
    message.reply_channel.send(answer(message))


def generator(message: Message) -> Iterator[dict[str, Any]]:
    """Each value is a reply."""
    whole = answer(message)
    yield {**whole, "content": whole["content"][:3], "more_content": True}
    yield {"content": whole["content"][3:]}


async def async_generator(message: Message) -> AsyncIterator[dict[str, Any]]:
    """The same, and waits."""
    for reply in generator(message):
        await asyncio.sleep(0)
        yield reply


class Router:
    """An object that tells messages apart, as a router of Channels 1."""

    def __call__(self, message: Message) -> None:
        if message.channel.name == "http.request":
            shape_b(message)


# ------------------------------------------------------------- one for each habit


def late(message: Message) -> None:
    """Returns at once, and is answered for by a thread."""
    threading.Thread(target=shape_b, args=(message,)).start()


async def by_callback(message: Message) -> None:
    """Returns at once, and is answered for by a callback."""
    asyncio.get_running_loop().call_later(0.01, shape_b, message)


async def by_task(message: Message) -> None:
    """Returns at once, and is answered for by a task."""

    async def reply() -> None:
        await asyncio.sleep(0.01)
        shape_b(message)

    tasks.add(task := asyncio.get_running_loop().create_task(reply()))
    task.add_done_callback(tasks.discard)


tasks: set[asyncio.Task[None]] = set()


def upload(message: Message) -> None:
    """Reads the body in a thread, by the channel layer, as Channels 1 did."""
    size, more = len(message["body"]), "body_channel" in message
    while more:
        _, chunk = message.channel_layer.receive([message["body_channel"]], block=True)
        assert chunk is not None
        if chunk.get("closed"):
            return
        size += len(chunk["content"])
        more = chunk["more_content"]
    message.reply_channel.send({"status": 200, "content": b"%d" % size})


async def upload_in_pieces(message: dict[str, Any], channels: Mapping[str, Any]) -> None:
    """Reads the body in a coroutine."""
    if message["channel"] == "http.request":
        pieces = [len(piece) async for piece in bridge.Body.from_consumer(message, channels)]
        await channels["reply"].send({"status": 200, "content": b"%d" % sum(pieces)})


def raises(message: Message) -> None:
    """Fails before it has replied."""
    raise LookupError(f"broken at {message['path']}")


def breaks_off(message: Message) -> None:
    """Fails in the middle."""
    message.reply_channel.send({"status": 200, "content": b"half", "more_content": True})
    raises(message)


def wrong(message: Message) -> None:
    """Sends what is no reply, and tells what it was told."""
    replies: list[Any] = [{"content": b"x"}, {"status": 200, "content": "text"}, {"status": 1}]
    told = []
    for reply in [*replies, "text"]:
        try:
            message.reply_channel.send(reply)
        except IllegalMessage as error:
            told.append(str(error))
    message.reply_channel.send({"status": 200, "content": "\n".join(told).encode()})


def silent(message: Message) -> None:
    """Never replies."""


flooded = [0]


def flood(message: Message) -> Iterator[dict[str, Any]]:
    """Sends 64 KiB after 64 KiB, for as long as somebody takes them."""
    if message.channel.name == "http.disconnect":
        print(f"left {message['path']}", file=sys.stderr, flush=True)
        return
    try:
        yield {"status": 200, "headers": PLAIN, "more_content": True}
        while True:
            yield {"content": b"x" * 65536, "more_content": True}
            flooded[0] += 1
    finally:
        print(f"closed {message['path']}", file=sys.stderr, flush=True)


async def flood_in_coroutine(message: Message) -> None:
    """The same, with what ``send`` returns awaited."""
    if message.channel.name == "http.disconnect":
        print(f"left {message['path']}", file=sys.stderr, flush=True)
        return
    reply = message.reply_channel
    await reply.send({"status": 200, "headers": PLAIN, "more_content": True})
    while not reply.client.is_gone:
        await reply.send({"content": b"x" * 65536, "more_content": True})
        flooded[0] += 1
    print(f"closed {message['path']}", file=sys.stderr, flush=True)


def how_much(message: Message) -> None:
    """How many pieces of a flood were taken."""
    message.reply_channel.send({"status": 200, "content": b"%d" % flooded[0]})


def poll(message: Message) -> None:
    """Waits for news that never come."""
    told = "left" if message.channel.name == "http.disconnect" else "waits"
    print(f"{told} {message['path']}", file=sys.stderr, flush=True)


def slow(message: Message) -> None:
    """Holds a thread for a moment."""
    time.sleep(0.01)
    shape_b(message)


SHAPES = {
    "a": shape_a,
    "b": shape_b,
    "c": shape_c,
    "coroutine": coroutine,
    "generator": generator,
    "async-generator": async_generator,
    "router": Router(),
}
LATE = {"late": late, "by-callback": by_callback, "by-task": by_task}
UPLOADS = {"upload": upload, "upload-in-pieces": upload_in_pieces}
FLOODS = {"flood": flood, "flood-in-coroutine": flood_in_coroutine}
OTHERS = {
    "raises": raises,
    "breaks-off": breaks_off,
    "wrong": wrong,
    "how-much": how_much,
    "poll": poll,
    "slow": slow,
}

app = bridge.Dispatcher(
    {
        **{f"/{name}": bridge.from_asgi1(OTHERS[name]) for name in OTHERS},
        **{f"/{name}": each for name, each in {**SHAPES, **LATE, **UPLOADS, **FLOODS}.items()},
        "/silent": bridge.from_asgi1(silent, response_timeout=0.1),
    }
)
wsgi = bridge.as_wsgi(app)
consumer = shape_b
