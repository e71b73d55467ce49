"""The recorded talks of the historic stack, said again to our server.

``tests/data/asgi1/oracle.json`` has them; `replay` says one of them to a consumer that keeps its
messages and gives the same replies.
"""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge import Dispatcher, from_asgi1
from bridge.errors import BridgeError
from tests.data.asgi1.talk import NOT_REACHED, Talk, from_json, to_json
from tests.support.serving import served

Step = list[Any]

ORACLE = json.loads(Path(__file__).parents[2].joinpath("data/asgi1/oracle.json").read_text())
#: Name -> the settings, the steps and what Channels 1.1 made of the request.
TALKS: dict[str, dict[str, Any]] = {name: from_json(talk) for name, talk in ORACLE["talks"].items()}

#: How long to wait for what does not come, and for a message after an answer, in seconds.
PATIENCE = 20
GRACE = 10
#: How many talks are said at a time: most of a talk is waiting.
AT_ONCE = 8

# ------------------------------------------------------------- the consumers' side


class Consumers:
    """Keeps the messages of a talk, and gives its replies.

    ``at_once``: the replies that follow a message in the talk are given while the consumer is
    called with it, if there are any; else each is given in its turn, by the thread of the test.
    """

    def __init__(self, steps: list[Step], at_once: bool) -> None:
        self._messages: queue.SimpleQueue[tuple[str, dict[str, Any]]] = queue.SimpleQueue()
        self._send: dict[str, Callable[[Any], Any]] = {}
        #: (channel, how many messages have come by it) -> replies to give at once.
        self._planned = plan(steps) if at_once else {}
        self._given = 0
        self._counts: dict[str, int] = {}

    # --------------------------------------------------------- for a Talk

    def next(self, timeout: float) -> tuple[str, dict[str, Any]]:
        """The next message."""
        return self._messages.get(timeout=timeout)

    def reply(self, name: str, message: dict[str, Any]) -> None:
        """Give a reply, unless it was given at once. One that is refused changes nothing (L13)."""
        if self._given:
            self._given -= 1
        else:
            with suppress(BridgeError):
                self._send[name](message)

    def rest(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The messages that nobody has waited for."""
        while not self._messages.empty():
            yield self._messages.get()

    # --------------------------------------------------------- for consumers

    def take(
        self, channel: str, content: dict[str, Any], send: Callable[[Any], Any]
    ) -> list[dict[str, Any]]:
        """Keep a message; the replies to give at once."""
        name = str(content["reply_channel"])
        self._send[name] = send
        self._counts[channel] = self._counts.get(channel, 0) + 1
        replies = self._planned.get((channel, self._counts[channel]), [])
        self._given += len(replies)
        self._messages.put((channel, {**content, "reply_channel": name}))
        return replies


def plan(steps: list[Step]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """The replies to a message that directly follow it: (channel, its number there) -> replies."""
    planned: dict[tuple[str, int], list[dict[str, Any]]] = {}
    counts: dict[str, int] = {}
    #: The messages just before a step: reply channel -> the replies to it.
    latest: dict[str, list[dict[str, Any]]] = {}
    for kind, *told in steps:
        if kind == "message" and len(told) == 2:
            channel, message = told
            counts[channel] = counts.get(channel, 0) + 1
            latest[message["reply_channel"]] = planned[channel, counts[channel]] = []
        elif kind == "reply" and f"reply channel {told[0]}" in latest:
            latest[f"reply channel {told[0]}"].append(told[1])
        else:
            latest = {}
    return planned


def plain(consumers: Consumers) -> Any:
    """A consumer of the shapes a and b, a plain function."""

    def consumer(message: Any) -> None:
        content = {**message.content, **whole_body(message)}
        channel = message.reply_channel
        for reply in consumers.take(message.channel.name, content, channel.send):
            channel.send(reply)

    return consumer


def whole_body(message: Any) -> dict[str, Any]:
    """The request's body, all of it, in place of its beginning and the channel of the rest."""
    name = message.get("body_channel")
    if name is None:
        return {}
    body = message["body"]
    more = True
    while more:
        _, chunk = message.channel_layer.receive([name], block=True)
        if chunk is not None:
            body += chunk["content"]
            more = chunk["more_content"]
    return {"body": body, "body_channel": None}


def coroutine(consumers: Consumers) -> Any:
    """A consumer of the shape c, a coroutine function."""

    async def consumer(message: Any, channels: Any) -> None:
        loop = asyncio.get_running_loop()
        reply = channels["reply"]
        content = {**message, "reply_channel": reply.name}
        channel = content.pop("channel")
        more = "body" in channels
        while more:
            chunk = await channels["body"].receive()
            content["body"] += chunk["content"]
            more = chunk["more_content"]

        async def send(message: Any) -> None:
            await reply.send(message)

        def from_outside(message: Any) -> None:
            asyncio.run_coroutine_threadsafe(send(message), loop).result(PATIENCE)

        for planned in consumers.take(channel, content, from_outside):
            await reply.send(planned)

    return consumer


@dataclass(frozen=True)
class Mode:
    """How a consumer is written and called."""

    consumer: Callable[[Consumers], Any]
    #: Whether it replies while it is called.
    at_once: bool
    #: Whether it is told of the end of each response, as Channels' workers were. A consumer of the
    #: shape c, which came with uvicorn, is told only if its client has left.
    told_of_ends: bool = True
    runner: str = "thread"
    #: Makes the app that is served of what `from_asgi1` makes of the consumer.
    host: Callable[[Any], Any] = lambda app: app


MODES = {
    "a plain consumer": Mode(plain, at_once=True),
    "called on the loop": Mode(plain, at_once=True, runner="inline"),
    "mounted, in a greenlet": Mode(
        plain, at_once=True, runner="greenlet", host=lambda app: Dispatcher({"/": app})
    ),
    "a coroutine": Mode(coroutine, at_once=True, told_of_ends=False),
    "replies from another thread": Mode(plain, at_once=False),
}

# ------------------------------------------------------------- a talk with our server

#: A setting of a recorded talk -> what it is here: arguments of from_asgi1, settings of the server.
_ARGUMENTS = {"timeout": "response_timeout", "connect_timeout": "websocket_connect_timeout"}


def steps_of(name: str, mode: Mode) -> list[Step]:
    """The recorded steps of a talk, as far as a consumer of this mode is to see them."""
    steps: list[Step] = TALKS[name]["steps"]
    if mode.told_of_ends:
        return steps
    kinds = [step[0] for step in steps]
    # What the recorder waited for after a response in vain is the end of it, too.
    ends = ["http.disconnect", NOT_REACHED]
    return [
        [kind, *told]
        for number, (kind, *told) in enumerate(steps)
        if kind != "message" or told[0] not in ends or "response" not in kinds[:number]
    ]


def replay(name: str, mode: Mode, grace: float = GRACE, **arguments: Any) -> list[Step]:
    """Say a talk to our server: its steps, and what has come of each here.

    `arguments` are more of `from_asgi1`.
    """
    given, steps = TALKS[name]["settings"], steps_of(name, mode)
    consumers = Consumers(steps, mode.at_once)
    settings = {key: value for key, value in given.items() if key == "root_path"}
    for key in given.keys() - {"root_path", "forwarded"}:
        arguments[_ARGUMENTS.get(key, key)] = given[key]
    app = from_asgi1(mode.consumer(consumers), runner=mode.runner, **arguments)
    proxied = "forwarded" in given
    with served(mode.host(app), lifespan="auto", proxy_headers=proxied, **settings) as server:
        talked = Talk(server.port, consumers, PATIENCE, grace)
        told = talked.run(_script(steps))
    for channel, content in consumers.rest():
        told.append(["afterwards", *talked.told(channel, content)])
    plainly: list[Step] = from_json(to_json(told))
    return plainly


def _script(steps: list[Step]) -> list[Step]:
    """The steps to take: those of the recorder, also where it did not come to them."""
    taken = (step for step in steps if step[0] not in ("cut off", "afterwards"))
    return [step[:-1] if step[-1] == NOT_REACHED else step for step in taken]


class Talks:
    """Talks that are said beside each other, by ``say(*talk)``, each once."""

    def __init__(self, say: Callable[..., list[Step]]) -> None:
        self._say = say
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._begun: dict[tuple[str, ...], Future[list[Step]]] = {}

    def begin(self, *talk: str) -> Future[list[Step]]:
        """Have a talk said, unless it has been begun."""
        if talk not in self._begun:
            self._begun[talk] = self._pool.submit(self._say, *talk)
        return self._begun[talk]

    def __call__(self, *talk: str) -> list[Step]:
        """The steps of a talk, and what has come of each here; waits for it."""
        return self.begin(*talk).result()

    def close(self) -> None:
        """End, without those that have not begun."""
        self._pool.shutdown(cancel_futures=True)


@contextmanager
def said_ahead(request: pytest.FixtureRequest, say: Callable[..., list[Step]]) -> Iterator[Talks]:
    """The talks that the tests of this module will ask for: their parameters, in order."""
    talks = Talks(say)
    try:
        for item in request.session.items:
            if item.path == request.path and "name" in (given := parameters(item)):
                talks.begin(*given.values())
        yield talks
    finally:
        talks.close()


def parameters(item: pytest.Item) -> dict[str, str]:
    """The parameters of a test; none if it has none."""
    return item.callspec.params if hasattr(item, "callspec") else {}
