"""The opening handshake of a WebSocket (RFC 6455 §4.2): check the request, make the answer.

Our server and the WSGI hosts below the ASGI adapter have parsed the request before they know that
it is a handshake, so nothing is parsed twice: the few fields that concern it are handed to the
Sans-I/O protocol of `websockets`, which checks them and negotiates the extensions. Pure: no I/O,
no loop, no clock.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.extensions import ServerExtensionFactory
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from bridge.errors import IllegalMessage, RequestError
from bridge.http.headers import is_token
from bridge.http.response_fields import as_fields, raw_fields
from bridge.types import Message, RawHeaders
from bridge.websocket.frames import Frames

#: The library's protocol logs here; each frame at debug level.
logger = logging.getLogger("bridge.websocket")

#: The fields that the protocol reads.
_CONCERNED = frozenset(
    {
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
    }
)
#: Fields of the answer that an app may not set, and what sets them instead.
_RESERVED = {
    b"sec-websocket-accept": "the server makes it",
    b"sec-websocket-extensions": "the server negotiates them",
    b"sec-websocket-protocol": "give the message's 'subprotocol'",
}


class UpgradeRequired(RequestError):
    """The handshake is for a version of the protocol that is not spoken here (RFC 6455 §4.4)."""

    fields = ((b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))


@dataclass
class Handshake:
    """A request that may become a WebSocket.

    `protocol` is ready for frames; `accept` and `extensions` are what the answer says in
    ``Sec-WebSocket-Accept`` and ``Sec-WebSocket-Extensions``, None if there are none.
    """

    protocol: ServerProtocol
    accept: str
    extensions: str | None
    subprotocols: list[str]
    max_message: int
    max_frame: int

    def frames(self) -> Frames:
        """Make the frames of the WebSocket, once it is accepted."""
        return Frames(self.protocol, self.max_message, self.max_frame)

    def response(self, message: Message, default_fields: bytes) -> bytes:
        """Return the head of the 101 that a ``websocket.accept`` asks for, blank line included.

        `default_fields` are the host's own lines. Raises `IllegalMessage` for a subprotocol
        that the client did not offer, and for fields that are malformed or not the app's.
        """
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
            f"sec-websocket-accept: {self.accept}\r\n".encode("ascii"),
        ]
        subprotocol = message.get("subprotocol")
        if subprotocol is not None:
            lines.append(self._subprotocol_line(subprotocol))
        if self.extensions is not None:
            lines.append(f"sec-websocket-extensions: {self.extensions}\r\n".encode("ascii"))
        own = _own_lines(as_fields(message.get("headers")))
        lines.append(default_fields)
        lines.extend(own)
        lines.append(b"\r\n")
        return b"".join(lines)

    def _subprotocol_line(self, subprotocol: object) -> bytes:
        if not isinstance(subprotocol, str) or subprotocol not in self.subprotocols:
            raise IllegalMessage(
                f"subprotocol is {subprotocol!r}, and the client offers "
                f"{', '.join(self.subprotocols) or 'none'}; accept one of these, or None"
            )
        return f"sec-websocket-protocol: {subprotocol}\r\n".encode("ascii")


def _own_lines(headers: RawHeaders) -> list[bytes]:
    """Return the app's fields as lines. Raises `IllegalMessage`."""
    lines = []
    for field in raw_fields(headers):
        lower = field.raw[0]
        if lower in _RESERVED:
            raise IllegalMessage(f"header {lower!r} in websocket.accept: {_RESERVED[lower]}")
        if lower != b"content-length":  # nothing may announce a body here (RFC 9110 §8.6)
            lines.append(field.line)
    return lines


class HandshakeParser:
    """Checks the requests for WebSockets; one object serves all connections.

    `max_message` and `max_frame` are the most bytes of each (of a frame, 0: any); `compress` says
    whether permessage-deflate (RFC 7692) is offered.
    """

    def __init__(self, max_message: int, *, max_frame: int = 0, compress: bool) -> None:
        self._max_message = max_message
        self._max_frame = max_frame
        self._extensions: list[ServerExtensionFactory] = []
        if compress:
            # Windows of 4 KiB: 32 KiB of memory for each connection, not 300.
            self._extensions.append(
                ServerPerMessageDeflateFactory(
                    server_max_window_bits=12,
                    client_max_window_bits=12,
                    compress_settings={"memLevel": 5},
                )
            )

    def check(self, headers: RawHeaders, *, has_body: bool) -> Handshake:
        """Read a request that asks for a WebSocket, from its fields.

        Raises `RequestError` (400, 426; S21).
        """
        if has_body:
            raise RequestError("a WebSocket handshake has no body")
        # Whatever else is in these lists: the protocol wants this alone.
        fields = Headers(connection="Upgrade", upgrade="websocket")
        for name, value in headers:
            if name in _CONCERNED:
                fields[name.decode("ascii")] = value.decode("latin-1")
        version = ", ".join(fields.get_all("sec-websocket-version"))
        if version != "13":
            raise UpgradeRequired(
                f"Sec-WebSocket-Version is {version[:80]!r}; 13 is spoken here (RFC 6455)", 426
            )
        protocol = ServerProtocol(
            extensions=self._extensions,
            state=State.OPEN,
            max_size=self._max_message,
            logger=logger,
        )
        try:
            accept, extensions, _ = protocol.process_request(Request("/", fields))
        except InvalidHandshake as error:
            raise RequestError(f"malformed WebSocket handshake: {error}") from None
        return Handshake(
            protocol,
            accept,
            extensions,
            _subprotocols(fields),
            self._max_message,
            self._max_frame,
        )


def _subprotocols(fields: Headers) -> list[str]:
    """Return the subprotocols that the client offers, in its order; they are checked already."""
    offered = [
        each.strip(" \t")
        for value in fields.get_all("sec-websocket-protocol")
        for each in value.split(",")
    ]
    return [each for each in offered if is_token(each.encode("latin-1"))]
