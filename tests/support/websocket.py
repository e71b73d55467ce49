"""WebSockets for tests: a client that sends any frame, and apps.

The client knows the wire format and none of the rules, so it can break all of them.
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

from bridge.types import Message, Receive, Scope, Send
from tests.support.hosts import Host
from tests.support.raw import Client, Response

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10

#: The example of RFC 6455 §1.3.
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_MASK = b"\x12\x34\xab\xcd"


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = _MASK,
    size: int | None = None,
) -> bytes:
    """A client's frame (RFC 6455 §5.2); `size` is what its head claims, if that is a lie."""
    first = (FINAL if fin else 0) | rsv | opcode
    size = len(payload) if size is None else size
    bit = 0 if mask is None else 0x80
    if size < 126:
        head = bytes((first, bit | size))
    elif size < 0x10000:
        head = bytes((first, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, bit | 127)) + size.to_bytes(8, "big")
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def close_frame(code: int, reason: str = "") -> bytes:
    """A client's close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason.encode())


def handshake(target: str = "/", *fields: str, key: str = KEY, version: str = "13") -> bytes:
    """The bytes of an opening handshake; `fields` are more lines."""
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: example.com",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        f"Sec-WebSocket-Version: {version}",
        *fields,
    ]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def status_of_handshake(host: Host, target: str) -> int:
    """The status that answers a handshake: the first line is read, and no other.

    On Python 3.14, which dedents text in another way, the head of Gunicorn's own error page ends
    with a line feed alone; clients of HTTP take that, and clients of WebSockets do not.
    """
    with host.connect() as client:
        client.sendall(handshake(target))
        with client.makefile("rb") as answer:
            return int(answer.readline().split()[1])


class WebSocket(Client):
    """One connection, from its handshake on; reads are as strict as those of `Client`."""

    def open_handshake(self, target: str = "/", *fields: str) -> Response:
        """Send the handshake and read the answer to it."""
        self.send(handshake(target, *fields))
        return self.response()

    def say(self, *frames: bytes) -> None:
        """Send frames in one write."""
        self.send(b"".join(frames))

    def text(self, text: str) -> None:
        """Send a text message."""
        self.say(frame(TEXT, text.encode()))

    def read(self) -> tuple[int, bytes]:
        """The next frame: its first byte, and its payload. Raises `Closed`."""
        first, second = self.exactly(2)
        assert not second & 0x80, "a server's frames are not masked"
        size = second
        if size == 126:
            size = int.from_bytes(self.exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self.exactly(8), "big")
        return first, self.exactly(size)

    def read_text(self) -> str:
        """The next frame, which is a whole text message."""
        first, payload = self.read()
        assert first == FINAL | TEXT, (first, payload)
        return payload.decode()

    def read_close(self) -> tuple[int, str]:
        """The next frame, which is a close frame, and after which the server closes too."""
        code, reason = self.read_close_frame()
        assert self.is_closed()
        return code, reason

    def read_close_frame(self) -> tuple[int, str]:
        """The next frame, which is a close frame: its code (1005 for none) and its reason."""
        first, payload = self.read()
        assert first == FINAL | CLOSE, (first, payload)
        assert len(payload) <= 125
        if not payload:
            return 1005, ""
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()


# ------------------------------------------------------------- apps


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept, and send every message back as it came."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Recorder:
    """An app around an app, which notes what is received: `got` is a queue of the messages."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.received: SimpleQueue[Message] = SimpleQueue()
        self.scopes: SimpleQueue[Scope] = SimpleQueue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.put(scope)

        async def note() -> Message:
            message = await receive()
            self.received.put(message)
            return message

        await self.app(scope, note, send)

    def next(self) -> Message:
        """The next message that the app received."""
        return self.received.get(timeout=20)
