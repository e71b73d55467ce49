"""Consumers of ASGI 1 on workers, called for the clients of a gateway (rules L4, L9).

A worker whose app is a consumer hands a request back (`protocol.py`). Then the gateway makes the
messages: each is a request of its own in the queue, for whichever worker is there. Replies come by
the channel layer, from whichever process. So a client stays while all workers are replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from bridge.asgi1.http_body import RequestBody
from bridge.channels.messages import MAX_MESSAGE_SIZE
from bridge.channels.redis.store import Store
from bridge.errors import AppError, BridgeError, LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.front.waiting import WaitingRequests
from bridge.gateway.session import Session, SessionLost, SessionOver
from bridge.types import Message, Scope


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


def read_told(event: Message) -> Told:
    """Read what a worker tells of its consumer. Raises `SessionLost` if it is malformed."""
    try:
        return Told(
            bool(event["takes_channels"]),
            float(event["response_timeout"]),
            float(event["connect_timeout"]),
            float(event["stall_timeout"]),
            [str(name) for name in event["subprotocols"]],
            *(str(event[name]) for name in ("path", "root_path", "mount")),
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
        self.new_reply_channel = store.new_reply_channel
        self.attach, self.detach = store.attach, store.detach
        self._opening: asyncio.Task[None] | None = None
        #: Calls that are under way.
        self._calls: set[asyncio.Task[None]] = set()
        #: What is told when Redis is lost: replies may be, too.
        self._told_of_loss: set[Callable[[BridgeError], None]] = set()
        store.link.on_lost.append(self._lost)

    async def open(self) -> None:
        """Be ready for replies. Raises `LayerUnavailable`."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._store.open())
        await asyncio.shield(self._opening)

    async def close(self) -> None:
        """End what is under way."""
        for call in self._calls:
            call.cancel()
        if self._opening is not None:
            self._opening = None
            await self._store.close()

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
    ) -> asyncio.Task[None]:
        """Begin a call that goes on whatever becomes of its client."""
        call = asyncio.create_task(self.call(channel, content, body, mount))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return call

    async def call(
        self, channel: str, content: Message, body: RequestBody | None = None, mount: str = ""
    ) -> None:
        """Call the consumer at `mount` with a message; returns when the call is over.

        Raises what has become of it: `AppFailed`, `SessionLost`, `LayerUnavailable`, `Overloaded`.
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
            while await session.read() is not None:
                pass  # replies come by the channel layer
        except BaseException:
            session.write(protocol.CANCEL, None)
            raise
        finally:
            self._requests.forget(session)
            if upload is not None:
                upload.cancel()
        assert session.over is not None
        if session.over.error is not None:
            raise session.over.error
        if session.over.text is not None:
            raise AppFailed(session.over.text)


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
