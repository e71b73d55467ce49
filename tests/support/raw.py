"""A raw HTTP/1.1 client: bytes go out as they are, and what comes back is read strictly.

Nothing here is lenient: a response that a careful peer could read in two ways raises `BadResponse`
(RFC 9112). Two users: `Client` talks over a socket, `parse_responses` reads recorded bytes.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")

Fields = list[tuple[bytes, bytes]]


class BadResponse(AssertionError):
    """The server sent what no HTTP/1.1 client has to understand."""


class Closed(ConnectionError):
    """The connection ended; `rest` is what had come of the message that was being read."""

    def __init__(self, rest: bytes) -> None:
        super().__init__(f"the connection ended after {rest[-200:]!r}")
        self.rest = rest


@dataclass
class Response:
    """A response as it came; names of fields in lower case."""

    status: int
    reason: bytes
    fields: Fields
    body: bytes = b""
    #: ``none``, ``length``, ``chunked`` or ``close``.
    framing: str = "none"
    trailers: Fields = field(default_factory=list)
    #: The 1xx responses that came before it.
    informational: list[Response] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields with this lower-case name."""
        return [value for known, value in self.fields if known == name]

    def value(self, name: bytes) -> bytes | None:
        """The value of a field that may be there once."""
        values = self.values(name)
        if len(values) > 1:
            raise BadResponse(f"{name!r} is there {len(values)} times: {values!r}")
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        """Whether the server says that it will close the connection."""
        return self.value(b"connection") == b"close"


# ------------------------------------------------------------- reading


class Source:
    """Bytes that were received, and a way to get more."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def more(self) -> bytes:
        """Some more bytes; ``b""`` at the end of the connection."""
        return b""

    def _fill(self) -> None:
        data = self.more()
        if not data:
            raise Closed(bytes(self.data))
        self.data += data

    def line(self) -> bytes:
        """The next line, which must end with CR LF."""
        while (end := self.data.find(b"\n")) < 0:
            self._fill()
        line = bytes(self.data[: end + 1])
        if not line.endswith(b"\r\n") or line.count(b"\r") != 1:
            raise BadResponse(f"a line does not end with one CR LF: {line!r}")
        del self.data[: end + 1]
        return line[:-2]

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        while len(self.data) < size:
            self._fill()
        data = bytes(self.data[:size])
        del self.data[:size]
        return data

    def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        while data := self.more():
            self.data += data
        rest = bytes(self.data)
        self.data.clear()
        return rest

    # --------------------------------------------------------- a response

    def response(self, method: str = "GET") -> Response:
        """The next final response, with the informational ones before it."""
        informational = []
        while True:
            response = self._head()
            if response.status >= 200 or response.status == 101:
                break
            if response.values(b"content-length") or response.values(b"transfer-encoding"):
                raise BadResponse(f"a {response.status} announces a body: {response.fields!r}")
            informational.append(response)
        response.informational = informational
        self._body(response, method)
        return response

    def _head(self) -> Response:
        line = self.line()
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise BadResponse(f"malformed status line {line!r}")
        return Response(int(match[1]), match[2], self._fields())

    def _fields(self) -> Fields:
        fields = []
        while line := self.line():
            match = _FIELD.fullmatch(line)
            if match is None:
                raise BadResponse(f"malformed field line {line!r}")
            fields.append((match[1].lower(), match[2]))
        return fields

    def _body(self, response: Response, method: str) -> None:
        length, coding = response.value(b"content-length"), response.value(b"transfer-encoding")
        if length is not None and coding is not None:
            raise BadResponse(f"both Content-Length and Transfer-Encoding: {response.fields!r}")
        if length is not None and not length.isdigit():
            raise BadResponse(f"Content-Length is {length!r}")
        if coding is not None and coding != b"chunked":
            raise BadResponse(f"Transfer-Encoding is {coding!r}")
        if response.status == 204 and (length or coding):
            raise BadResponse(f"a 204 announces a body: {response.fields!r}")
        if method == "HEAD" or response.status in (101, 204, 304):
            return
        if coding:
            response.framing = "chunked"
            self._chunked(response)
        elif length is not None:
            response.framing = "length"
            response.body = self.exactly(int(length))
        else:
            response.framing = "close"
            if not response.closes:
                raise BadResponse("a body without framing on a connection that stays open")
            response.body = self.rest()

    def _chunked(self, response: Response) -> None:
        while True:
            line = self.line()
            if _CHUNK_SIZE.fullmatch(line) is None:
                raise BadResponse(f"malformed chunk size {line!r}")
            size = int(line, 16)
            if not size:
                break
            response.chunks.append(self.exactly(size))
            if self.exactly(2) != b"\r\n":
                raise BadResponse("a chunk is not followed by CR LF")
        response.body = b"".join(response.chunks)
        response.trailers = self._fields()


def parse_responses(data: bytes, methods: Iterable[str] = ()) -> list[Response]:
    """Everything that a server sent on one connection, up to its end.

    `methods` are those of the requests, GET if there are no more. Raises `Closed` if the
    last response is cut off.
    """
    source = Source(data)
    names = iter(methods)
    responses = []
    while source.data:
        responses.append(source.response(next(names, "GET")))
    return responses


# ------------------------------------------------------------- over a socket


class Client(Source):
    """One connection; `sock` is open and has a timeout, which bounds every read."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self.sock = sock
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.sock.close()

    def more(self) -> bytes:
        """Some more bytes; ``b""`` if the server has closed. Raises `ConnectionResetError`."""
        return self.sock.recv(65536)

    # --------------------------------------------------------- sending

    def send(self, data: bytes) -> None:
        """All of `data`, in as few packets as the kernel makes of it."""
        self.sock.sendall(data)

    def send_pieces(self, pieces: Iterable[bytes], pause: float = 0) -> bool:
        """One call for each piece; False if the server stopped it.

        With `pause` seconds between them, and then not beyond the server's answer.
        """
        try:
            for piece in pieces:
                self.sock.sendall(piece)
                if pause and select.select([self.sock], [], [], pause)[0]:
                    return False
        except ConnectionError:
            return False
        return True

    def send_bytewise(self, data: bytes) -> bool:
        """One call for each byte; False if the server stopped it."""
        return self.send_pieces(data[i : i + 1] for i in range(len(data)))

    def get(self, target: str = "/", *fields: str, method: str = "GET") -> Response:
        """Send a request without a body, and read its response."""
        self.send(request(target, *fields, method=method))
        return self.response(method)

    # --------------------------------------------------------- ends

    def end_sending(self) -> None:
        """Half-close: send FIN, and go on reading."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def everything(self) -> bytes:
        """All bytes up to the end of the connection, be it FIN or RST."""
        try:
            while data := self.more():
                self.data += data
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            pass
        rest = bytes(self.data)
        self.data.clear()
        return rest

    def responses(self, methods: Sequence[str] = ()) -> list[Response]:
        """All responses up to the end of the connection."""
        return parse_responses(self.everything(), methods)

    def is_closed(self, timeout: float | None = None) -> bool:
        """Whether the server closes without another byte, within the socket's timeout."""
        assert not self.data, bytes(self.data)
        if timeout is not None:
            self.sock.settimeout(timeout)
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        self.data += data
        return not data


def request(target: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> bytes:
    """The bytes of an ordinary request; `fields` are lines without their ends."""
    lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A chunked body (RFC 9112 §7.1)."""
    lines = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join(lines) + b"0\r\n" + trailers + b"\r\n"
