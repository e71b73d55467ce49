"""A request that several apps read, one after the other (D5, M22).

What an app has read of the body is kept for the next one, in memory up to 64 KiB, then in a
temporary file. A message that it was still waiting for goes to the next one, too: it must not be
lost with the app that asked for it.
"""

from __future__ import annotations

import asyncio
from typing import IO, Any, Final

from bridge.errors import NotOnAsyncio
from bridge.limits import READ_SIZE
from bridge.types import Message, Receive, Scope

#: What an app receives when its turn is over, by the type of its scope.
DISCONNECT: Final[dict[str, Message]] = {
    "http": {"type": "http.disconnect"},
    "websocket": {"type": "websocket.disconnect", "code": 1006},
}


def own_scope(scope: Scope, state: dict[str, Any]) -> Scope:
    """Copy a scope, so that its app may change it: no other app has a part of it (D5)."""
    own: Scope = {key: value if key == "state" else _copy(value) for key, value in scope.items()}
    if state or "state" in scope:
        own["state"] = {**scope.get("state", {}), **state}
    return own


def _copy(value: Any) -> Any:
    """Copy lists and dicts, with all that is in them; other objects are shared."""
    if type(value) is list:
        return [_copy(each) for each in value]
    if type(value) is dict:
        return {key: _copy(each) for key, each in value.items()}
    return value


class KeptRequest:
    """What was read of a request, and the one message that may be on its way."""

    def __init__(self, receive: Receive, disconnect: Message) -> None:
        self.disconnect = disconnect
        #: ``websocket.connect``, once it was read.
        self.connect: Message | None = None
        #: Bytes of body that were read, and whether that is all of it.
        self.size = 0
        self.complete = False
        self._receive = receive
        #: A message that an app was waiting for when its turn was over.
        self._pending: asyncio.Future[Message] | None = None
        self._body: IO[bytes] | None = None

    async def next_kept(self, until: asyncio.Future[None]) -> Message | None:
        """Return the client's next message, and keep it; None if `until` is done before."""
        while True:
            if self._pending is None:
                self._pending = asyncio.ensure_future(self._receive())
            pending = self._pending
            either: set[asyncio.Future[Any]] = {pending, until}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if pending is self._pending and pending.done():
                break
            if until.done():  # the message is for the next app, which may have taken it already
                return None
        message = pending.result()
        if message["type"] != self.disconnect["type"]:
            self._pending = None  # but a disconnect stays: every app must see it
        self._keep(message)
        return message.copy()

    async def next(self) -> Message:
        """Return the client's next message, which no other app needs."""
        if self._pending is None:
            return await self._receive()
        pending, self._pending = self._pending, None
        return await pending

    def read(self, at: int, size: int) -> bytes:
        """Return up to `size` bytes of the body that was kept, from `at` on."""
        assert self._body is not None  # else `size` is 0
        self._body.seek(at)
        return self._body.read(size)

    def _keep(self, message: Message) -> None:
        if message["type"] == "websocket.connect":
            self.connect = message.copy()
        elif message["type"] == "http.request":
            self.complete = not message.get("more_body", False)
            if piece := message.get("body", b""):
                self._append(piece)

    def _append(self, piece: bytes) -> None:
        if self._body is None:
            from tempfile import SpooledTemporaryFile  # nearly 1 MB, and few requests need it

            self._body = SpooledTemporaryFile(max_size=READ_SIZE)  # noqa: SIM115 - see `close`
        self._body.seek(self.size)
        self._body.write(piece)
        self.size += len(piece)

    @property
    def gone(self) -> bool:
        """Whether the client is known to have left."""
        pending = self._pending
        if pending is None or not pending.done() or pending.cancelled() or pending.exception():
            return False
        return bool(pending.result()["type"] == self.disconnect["type"])

    def close(self) -> None:
        """Drop what was kept, and the message that is waited for."""
        if self._pending is not None:
            self._pending.cancel()
        if self._body is not None:
            self._body.close()


class Reader:
    """One app's `receive`: what is kept already, then what the client sends."""

    def __init__(self, request: KeptRequest, owner: str = "a fallback") -> None:
        """Raises `NotOnAsyncio`, which names the `owner`."""
        self._request = request
        self._connect = request.connect
        #: How much was kept when the app's turn began, and how much of that it has read.
        self._size = request.size
        self._offset = 0
        self._empty_body = request.complete and not request.size
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise NotOnAsyncio(owner) from None
        self._dismissed: asyncio.Future[None] = loop.create_future()

    def dismiss(self) -> None:
        """End the app's turn: there is nothing more for it."""
        if not self._dismissed.done():
            self._dismissed.set_result(None)

    async def receive(self) -> Message:
        """Return the next message; ``disconnect`` once the app's turn is over."""
        message = None
        if not self._dismissed.done():
            message = self._kept() or await self._request.next_kept(self._dismissed)
        return message or self._request.disconnect.copy()

    def _kept(self) -> Message | None:
        if self._connect is not None:
            connect, self._connect = self._connect, None
            return connect.copy()
        if self._empty_body:
            self._empty_body = False
            return {"type": "http.request", "body": b"", "more_body": False}
        if self._offset >= self._size:
            return None
        piece = self._request.read(self._offset, min(READ_SIZE, self._size - self._offset))
        self._offset += len(piece)
        more = self._offset < self._size or not self._request.complete
        return {"type": "http.request", "body": piece, "more_body": more}


class LastReader(Reader):
    """The last app's: nothing needs to be kept, and its turn has no end."""

    async def receive(self) -> Message:
        """Return the next message."""
        return self._kept() or await self._request.next()
