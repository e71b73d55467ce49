"""The bytes of one connection, cut into requests and their bodies (RFC 9112). Pure: no I/O.

    reader = Reader(parser, owner)
    reader.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel")
        -> owner.on_request(request, head)
    reader.take_body() is None; reader.resume()
        -> owner.on_body(b"hel", last=False)
    reader.feed(b"lo")
        -> owner.on_body(b"lo", last=True)

One request at a time: what a pipelining client sends behind it is handed to `keep`, and read when
the owner is ready for it, by `resume`. So no message is looked at before the one before it is
answered, and nothing is after an error (S3): the owner then calls `stop`.
"""

from __future__ import annotations

from typing import Final, Protocol

from bridge.errors import RequestError
from bridge.server.http1.chunked import ChunkedBody
from bridge.server.http1.parser import HeadParser
from bridge.server.request import CHUNKED, Request

#: Blank lines before a request line that are ignored (RFC 9112 §2.2).
BLANK_LINES: Final = 4

_END: Final = b"\r\n\r\n"


#: Stands for that of a head before the first.
_NO_REQUEST: Final = Request("", b"", b"", b"")


class ReaderOwner(Protocol):
    """What a `Reader` tells of what it finds."""

    def on_request(self, request: Request, head: bytes) -> None:
        """A head came, whole: these bytes.

        If it has a body, the owner asks for it: all of it by `Reader.take_body`, or what has come
        by `Reader.resume`.
        """

    def on_body(self, data: bytes, last: bool) -> None:
        """A piece of the body came; `last`: it ends with this piece, which can be empty then."""

    def on_fault(self, error: RequestError, begin: bytes) -> None:
        """The bytes break a rule; `begin` is how the request began, empty in its body.

        The owner calls `Reader.stop`.
        """


class Reader:
    """Feed it what comes, while a head or a body is expected; it calls its owner."""

    __slots__ = (
        "_body_left",
        "_chunked",
        "_last_head",
        "_last_request",
        "_owner",
        "_parser",
        "_scanned",
        "_whole_body",
        "blank_lines",
        "buffer",
    )

    def __init__(self, parser: HeadParser, owner: ReaderOwner) -> None:
        self._parser = parser
        #: None when nothing more is to be read.
        self._owner: ReaderOwner | None = owner
        #: The last head, and its request, until `forget_head`: a client that repeats itself is not
        #: read again.
        self._last_head: bytes | None = None
        self._last_request = _NO_REQUEST
        #: What came and was not read yet.
        self.buffer = bytearray()
        #: Blank lines that came where a request line is expected.
        self.blank_lines = 0
        #: Bytes of the buffer in which no head ends.
        self._scanned = 0
        #: The body that is coming in: its chunks, or how many bytes of it are missing.
        self._chunked: ChunkedBody | None = None
        self._body_left = 0
        #: A body that came with its head, and nothing behind it, until the owner asks for it: it is
        #: copied once, not by way of the buffer.
        self._whole_body = b""

    # --------------------------------------------------------- what the owner calls

    def feed(self, data: bytes) -> None:
        """Take bytes of a head or of a body, and read on, up to the end of one request."""
        if self._owner is None:
            return
        if self.buffer:
            self.buffer += data
            self.resume()
        elif self._body_left or self._chunked is not None:
            self._read_body(data)
        elif data == self._last_head or (data.find(_END) + 4 == len(data) > 3 and data[0] > 32):
            self._read_head(data, None)
        else:
            end = data.find(_END) + 4
            if end > 3 and data[0] > 32:
                self._read_head(data[:end], data[end:])
            else:
                self.buffer += data
                self.resume()

    def keep(self, data: bytes) -> None:
        """Take bytes that come before their time."""
        if self._owner is not None:
            self.buffer += data

    def resume(self) -> bool:
        """Read on in what was kept, up to the end of one request; False if that found nothing."""
        if self._whole_body:
            self.buffer += self._whole_body
            self._whole_body = b""
        if self._owner is None or not self.buffer:
            return False
        if self._body_left or self._chunked is not None:
            self._read_body(self._take_all())
        else:
            head = self._next_head()
            if head is None:
                return False
            self._read_head(head, None)
        return True

    def take_body(self, limit: int = 0) -> bytes | None:
        """The body of the request that was just told of, if all of it is here.

        One of more than `limit` bytes stays here; 0: any is given.
        """
        size, body, buffer = self._body_left, self._whole_body, self.buffer
        if body:
            self._whole_body = b""
            if limit and size > limit:
                buffer += body
                return None
            self._body_left = 0
            return body
        if self._chunked is not None or len(buffer) < size or (limit and size > limit):
            return None
        body = bytes(buffer[:size])
        del buffer[:size]
        self._body_left = 0
        return body

    def holds_enough(self, most_requests: int, most_bytes: int) -> bool:
        """Whether as much waits as may wait (S1)."""
        return self.buffer.count(_END) >= most_requests or len(self.buffer) > most_bytes

    def stop(self) -> bytes:
        """Read nothing more, whatever comes; what was not read yet."""
        self._owner = None
        self._whole_body = b""
        self.forget_head()
        return self._take_all()

    def forget_head(self) -> None:
        """Drop what was kept of the last head: its client is idle, or sends no other."""
        self._last_head, self._last_request = None, _NO_REQUEST

    def _take_all(self) -> bytes:
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    # --------------------------------------------------------- heads

    def _next_head(self) -> bytes | None:
        """The next whole head; None if it is not here, or cannot become one."""
        buffer = self.buffer
        if buffer[0] == 13 and not self._skip_blank_lines():
            return None
        end = buffer.find(_END, self._scanned) + 4
        if end < 4:
            try:
                self._parser.check_partial(buffer, self._scanned)
            except RequestError as error:
                self._fault(error, bytes(buffer[:80]))
            else:
                self._scanned = max(len(buffer) - 3, 0)
            return None
        self._scanned = 0
        head = bytes(buffer[:end])
        del buffer[:end]
        return head

    def _skip_blank_lines(self) -> bool:
        """Take a few blank lines away; whether something follows them (RFC 9112 §2.2)."""
        buffer = self.buffer
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
            self.blank_lines += 1
            if self.blank_lines > BLANK_LINES:
                self._fault(RequestError("blank lines where a request line is expected"), b"")
                return False
        return len(buffer) > 0 and buffer != b"\r"

    def _read_head(self, head: bytes, rest: bytes | None) -> None:
        """Tell the owner of a request; `rest` came behind its head, and the buffer is empty.

        No argument has a default: CPython calls that less fast.
        """
        owner = self._owner
        assert owner is not None
        if head == self._last_head:
            request = self._last_request
            request.repeated = True
        else:
            try:
                request = self._parser.parse(head)
            except RequestError as error:
                self._fault(self._parser.first_error(head) or error, head)
                return
            self._last_head = head
            self._last_request = request
        self.blank_lines = 0
        length = request.length
        if length:
            if length == CHUNKED:
                self._chunked = ChunkedBody(self._parser.size_limit)
            else:
                self._body_left = length
        if rest is not None:
            if len(rest) == length:
                self._whole_body = rest
            else:
                self.buffer += rest
        owner.on_request(request, head)

    # --------------------------------------------------------- bodies

    def _read_body(self, data: bytes) -> None:
        """Give the owner its part of `data`; the rest is kept."""
        owner, chunked = self._owner, self._chunked
        assert owner is not None
        if chunked is None:
            left = self._body_left
            if len(data) > left:
                self.buffer += data[left:]
                data = data[:left]
            self._body_left = left - len(data)
            last = not self._body_left
        else:
            try:
                data, rest = chunked.feed(data)
            except RequestError as error:
                self._fault(error, b"")
                return
            self.buffer += rest
            last = chunked.complete
            if last:
                self._chunked = None
        if data or last:
            owner.on_body(data, last)

    def _fault(self, error: RequestError, begin: bytes) -> None:
        assert self._owner is not None
        self._owner.on_fault(error, begin)
