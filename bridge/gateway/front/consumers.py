"""Consumers of ASGI 1 on workers, called for the clients of a gateway (rules L4, L9).

A worker whose app is a consumer calls it with a request, or hands that back (`protocol.py`). Then
the gateway makes the messages: each is a request of its own in the queue, for whichever worker is
there. Replies come by the channel layer, from whichever process. So a client stays while all
workers are replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from bridge.asgi1.http_body import RequestBody
from bridge.channels.base import Deliver
from bridge.channels.messages import MAX_MESSAGE_SIZE
from bridge.channels.redis.store import Store
from bridge.errors import AppError, BridgeError, ChannelFull, LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.consumer_content import TELLS_APART, session_of
from bridge.gateway.front.waiting import WaitingRequests
from bridge.gateway.session import Session, SessionLost, SessionOver
from bridge.types import Message, Scope

#: The most replies to one request that are kept before a worker says that it is a consumer's.
MOST_EARLY: Final = 1000


class AppFailed(AppError):
    """The app, on its worker, has raised, or returned too early."""


class Told(NamedTuple):
    """What a worker tells of its consumer (`back/mounted_consumers.py`)."""

    takes_channels: bool
    response_timeout: float
    connect_timeout: float
    stall_timeout: float
    subprotocols: Sequence[str]
    #: The request's, as the consumer sees them where it is mounted.
    path: str
    root_path: str
    mount: str
    #: It was called already, in the session that tells this.
    called: bool


def read_told(event: Message) -> Told:
    """Read what a worker tells of its consumer. Raises `SessionLost` if it is malformed."""
    try:
        return Told(
            takes_channels=bool(event["takes_channels"]),
            response_timeout=float(event["response_timeout"]),
            connect_timeout=float(event["connect_timeout"]),
            stall_timeout=float(event["stall_timeout"]),
            subprotocols=[str(name) for name in event["subprotocols"]],
            path=str(event["path"]),
            root_path=str(event["root_path"]),
            mount=str(event["mount"]),
            called=bool(event.get("called")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SessionLost(f"what a worker tells of its consumer is malformed: {error!r}") from None


class Consumers:
    """Calls the consumers of workers, and has the channels by which they reply.

    Of a channel layer it has what clients need: ``new_reply_channel``, ``attach`` and ``detach``.
    """

    max_message_size = MAX_MESSAGE_SIZE

    def __init__(self, requests: WaitingRequests, store: Store) -> None:
        self._requests = requests
        self._store = store
        self.new_reply_channel, self.detach = store.new_reply_channel, store.detach
        #: The extension of the scope, by which workers call their consumers at once.
        self.offer: Final = {"replies": store.reply_queue}
        #: Replies to requests of which no worker has said yet that they are a consumer's.
        self._early: dict[str, list[Message]] = {}
        #: The numbers of the requests whose exchanges run: the session of one may be over before
        #: the exchange has read that it is a consumer's.
        self.expected: set[int] = set()
        self._opening: asyncio.Task[None] | None = None
        #: Calls that are under way.
        self._calls: set[asyncio.Task[bool]] = set()
        #: What is told when Redis is lost: replies may be, too.
        self._told_of_loss: set[Callable[[BridgeError], None]] = set()
        store.link.on_lost.append(self._lost)

    async def open(self) -> None:
        """Be ready for replies. Raises `LayerUnavailable`."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        await self._store.open()
        self._store.attach_queue(self._store.reply_queue, self._keep)

    async def close(self) -> None:
        """End what is under way."""
        for call in self._calls:
            call.cancel()
        if self._opening is not None:
            self._opening = None
            await self._store.close()

    def attach(self, channel: str, deliver: Deliver) -> None:
        """Have each reply to `channel` passed to `deliver`, also those that were early."""
        self._store.attach(channel, deliver)
        for message in self._early.pop(channel, ()):
            deliver(message)

    def _keep(self, channel: str, message: Message) -> None:
        """Keep a reply that comes before its request is known to be a consumer's."""
        for each in list(self._early):
            if not self._is_asked(each):
                del self._early[each]
        if self._is_asked(channel):
            early = self._early.setdefault(channel, [])
            if len(early) == MOST_EARLY:
                raise ChannelFull(f"{MOST_EARLY} replies have come before any was expected")
            early.append(message)

    def _is_asked(self, channel: str) -> bool:
        """Whether `channel` is of a request that is under way."""
        number = session_of(channel)
        return number is not None and (number in self.expected or self._requests.has(number))

    def _lost(self) -> None:
        for tell in tuple(self._told_of_loss):
            tell(LayerUnavailable("the connection to Redis was lost, and replies may be, too"))

    def tell_of_loss(self, tell: Callable[[BridgeError], None]) -> Callable[[], None]:
        """Have `tell` called when Redis is lost; return what ends that."""
        self._told_of_loss.add(tell)
        return lambda: self._told_of_loss.discard(tell)

    # --------------------------------------------------------- calls

    def start(
        self, channel: str, content: Message, body: RequestBody | None = None, mount: str = ""
    ) -> asyncio.Task[bool]:
        """Begin a call that goes on whatever becomes of its client."""
        return self._go_on(self.call(channel, content, body, mount))

    def follow(self, session: Session, deliver: Deliver) -> asyncio.Task[bool]:
        """Go on with a call that a worker has begun by itself, as `start` does.

        `deliver` gets the replies that come in its session.
        """
        return self._go_on(_end_of(session, deliver))

    def _go_on(self, work: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        call = asyncio.create_task(work)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    async def call(
        self, channel: str, content: Message, body: RequestBody | None = None, mount: str = ""
    ) -> bool:
        """Call the consumer at `mount` with a message; returns when the call is over.

        It returns whether the consumer tells messages apart. Raises what has become of it:
        `AppFailed`, `SessionLost`, `LayerUnavailable`, `Overloaded`.
        """
        scope: Scope = {
            "type": "consumer",
            "channel": channel,
            "content": content,
            "mount": mount,
        }
        if body is not None:
            scope["more_body"] = True
        taken = asyncio.Event()
        session = self._requests.ask(scope, [], taken.set)
        upload = None
        if body is not None:
            upload = asyncio.create_task(_send_body(session, taken, body))
        try:
            return await _end_of(session)
        finally:
            self._requests.forget(session.number)
            if upload is not None:
                upload.cancel()


async def _end_of(session: Session, deliver: Deliver | None = None) -> bool:
    """Wait for the end of a call; see `Consumers.call` and `Consumers.follow`."""
    tells_apart = False
    try:
        while (event := await session.read()) is not None:
            if deliver is not None and "reply" in event:
                deliver(event["reply"])
            tells_apart |= event == TELLS_APART
    except BaseException:
        session.write(protocol.CANCEL, None)
        raise
    assert session.over is not None
    if session.over.error is not None:
        raise session.over.error
    if session.over.text is not None:
        raise AppFailed(session.over.text)
    return tells_apart


async def _send_body(session: Session, taken: asyncio.Event, body: RequestBody) -> None:
    """Send the body of a request as its consumer wants it."""
    await taken.wait()
    more = True
    with suppress(SessionOver):
        while more:
            await session.wait_for_room()
            chunk = await body.receive()
            more = chunk["more_content"]
            if chunk.get("closed"):
                await session.send({"type": "http.disconnect"})
            else:
                piece = {"type": "http.request", "body": chunk["content"], "more_body": more}
                await session.send(piece)
