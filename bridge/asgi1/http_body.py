"""The body of a request on its way to a consumer (L4, L5).

A small body is in the message. Of any other the message has the beginning, or nothing, and the rest
can be read in one of three ways, each of which slows the client down to the reader's pace:

- ``await channels["body"].receive()``;
- `bridge.Body`, as ``message.body``;
- ``channel_layer.receive([message["body_channel"]], block=True)``, as Channels 1 does: a source of
  the layer, which takes a chunk when somebody reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from bridge.limits import HIGH_WATER
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Message, Receive, Scope

#: The versions of HTTP in which a request without either of two fields has no body (RFC 9112 §6.3).
_ANNOUNCED_IN: Final = frozenset({"1.0", "1.1"})


class RequestBody:
    """What comes of one request's body.

    `length` is its Content-Length; None: not known. `on_disconnect` is called if the client leaves
    before the end.
    """

    def __init__(
        self, receive: Receive, length: int | None, on_disconnect: Callable[[], None]
    ) -> None:
        self._receive = receive
        self.length = length
        self._on_disconnect = on_disconnect
        self._ended = WaitQueue()
        #: The end has come.
        self.is_whole = False
        #: The client has left before it.
        self.is_cut = False

    async def take_small(self) -> bytes:
        """Return the whole body, or its beginning if it is larger than 64 KiB."""
        pieces: list[bytes] = []
        size = 0
        while size <= HIGH_WATER and not (self.is_whole or self.is_cut):
            piece = (await self.receive())["content"]
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    async def receive(self) -> Message:
        """Return the next chunk: ``content``, ``more_content``, and ``closed`` if it is cut."""
        if not (self.is_whole or self.is_cut):
            event = await self._receive()
            if event["type"] != "http.request":
                self.is_cut = True
                self._on_disconnect()
            else:
                self.is_whole = not event.get("more_body", False)
                content = event.get("body", b"")
                if self.is_whole:
                    self._ended.wake()
                return {"content": content, "more_content": not self.is_whole}
        return self.end()

    def end(self) -> Message:
        """Return the chunk after the last one: empty, and ``closed`` if the body is not whole."""
        chunk: Message = {"content": b"", "more_content": False}
        if not self.is_whole:
            chunk["closed"] = True
        return chunk

    async def ended(self) -> None:
        """Return when the end has come."""
        while not self.is_whole:
            await self._ended.wait()


def may_have_body(scope: Scope, fields: Mapping[bytes, bytes]) -> bool:
    """Whether a request with these `fields` may have a body."""
    return (
        b"content-length" in fields
        or b"transfer-encoding" in fields
        or scope["http_version"] not in _ANNOUNCED_IN
    )


def expected_body(
    scope: Scope, receive: Receive, on_disconnect: Callable[[], None]
) -> RequestBody | None:
    """Return the body that comes with a request; None if it has none."""
    fields = dict(scope["headers"])
    if not may_have_body(scope, fields):
        return None
    text = fields.get(b"content-length", b"")
    length = int(text) if text.isdigit() and b"transfer-encoding" not in fields else None
    return None if length == 0 else RequestBody(receive, length, on_disconnect)
