"""Decode chunked bodies (RFC 9112 §7.1). Pure: no I/O.

    5;name=value CR LF    a size in hexadecimal, and extensions, which are checked and ignored
    hello CR LF
    0 CR LF               the last chunk
    Field: value CR LF    trailer fields: checked and dropped, they never mix with the head's
    CR LF

llhttp accepts extensions that the grammar does not allow, and refuses blanks that it allows
(§7.1.1). So chunks are decoded here: if two servers read the same bytes differently, a request can
be smuggled past one of them (S3).
"""

from __future__ import annotations

import re
from typing import Final

from bridge.caches import BoundedDict
from bridge.errors import RequestError

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t -~\x80-\xff])*+"'
_VALUE = rb"[ \t]*+=[ \t]*+(?:" + _TOKEN + rb"|" + _QUOTED + rb")"
_EXTENSION = rb"[ \t]*+;[ \t]*+" + _TOKEN + rb"(?:" + _VALUE + rb")?+"
#: A size: zeros, and at most 64 bits.
_HEX = rb"(?=[0-9A-Fa-f])0*+([0-9A-Fa-f]{0,16}+)"
#: A line with a size. Possessive, so that no line takes longer than its length to refuse.
_SIZE_LINE = re.compile(_HEX + rb"(?:" + _EXTENSION + rb")*+\r\n")
#: The beginning of such a line, of which more may come.
_SIZE_START = re.compile(_HEX + rb"(?:[ \t;\r].*)?+", re.DOTALL)
#: A trailer field; those that would frame the body are not allowed (RFC 9110 §6.5.1).
_TRAILER_LINE = re.compile(
    rb"(?!(?i:content-length|transfer-encoding):)" + _TOKEN + rb":[\t -~\x80-\xff]*+\r\n"
)

# What comes next.
_SIZE: Final = 0
_DATA: Final = 1
_END_OF_DATA: Final = 2
_TRAILER: Final = 3

#: Size lines without extensions that were seen -> their sizes; never that of the last chunk.
_KNOWN: BoundedDict[bytes, int] = BoundedDict(1024)


class ChunkedBody:
    """Decode one chunked body: feed it what comes, and it returns the bytes of the body in it.

    `size_limit`: bytes of sizes, extensions and trailers that are allowed in addition to
    `OVERHEAD`.
    """

    #: Bytes of overhead (sizes, extensions, trailers) that are allowed for each byte of body: a
    #: chunk of one byte has five bytes around it.
    OVERHEAD = 16

    def __init__(self, size_limit: int) -> None:
        self._limit = size_limit
        self._overhead = 0
        self._next = _SIZE
        #: Bytes of the chunk that are still to come.
        self._left = 0
        #: The beginning of a line whose end has not come.
        self._part = b""
        self.complete = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Decode `data`: return the bytes of the body in it, and those that follow the body.

        Raises `RequestError`: 400 for what is not a chunked body, 431 for too much overhead. The
        error does not depend on how the bytes were cut.
        """
        if self._part:
            data, self._part = self._part + data, b""
        chunks: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.complete:
            if self._next == _SIZE:
                at = self._whole_chunks(data, at, chunks)
                if at == size:
                    break
            if self._next == _DATA:
                chunk = data[at : at + self._left]
                chunks.append(chunk)
                at += len(chunk)
                self._left -= len(chunk)
                self._overhead = max(self._overhead - self.OVERHEAD * len(chunk), 0)
                if not self._left:
                    self._next = _END_OF_DATA
                continue
            end = data.find(b"\n", at) + 1
            line = data[at:end] if end else data[at:]
            self._check_line(line)
            if not end:
                self._part = line
                break
            self._read_line(line)
            at = end
        rest = data[at:] if self.complete else b""
        return chunks[0] if len(chunks) == 1 else b"".join(chunks), rest

    def _whole_chunks(self, data: bytes, at: int, chunks: list[bytes]) -> int:
        """Decode whole chunks of known sizes, from `at` on; return where they end.

        This is the fast path: a body can be ten thousand chunks of one byte.
        """
        known, overhead, limit = _KNOWN, self._overhead, self._limit
        while True:
            start = data.find(b"\n", at) + 1
            size = known.get(data[at:start])
            if size is None:
                break
            end = start + size
            cost = overhead + start - at
            if cost > limit or data[end : end + 2] != b"\r\n":
                break
            chunks.append(data[start:end])
            overhead = cost - self.OVERHEAD * size
            overhead = 2 if overhead < 0 else overhead + 2
            at = end + 2
        self._overhead = overhead
        return at

    def _check_line(self, line: bytes) -> None:
        """Refuse a line, or the beginning of one, that breaks a rule whatever follows."""
        if self._next == _SIZE and _SIZE_START.fullmatch(line) is None:
            raise _malformed("a size in hexadecimal is expected", line)
        if self._next == _END_OF_DATA and not b"\r\n".startswith(line):
            raise _malformed("the chunk is longer than its size", line)
        if self._overhead + len(line) > self._limit:
            raise RequestError(
                f"the chunk sizes, extensions and trailers of the body are longer than "
                f"{self._limit} bytes; raise --limit-header-size to allow more",
                431,
            )

    def _read_line(self, line: bytes) -> None:
        """Read a whole line."""
        self._overhead += len(line)
        if self._next == _END_OF_DATA:
            self._next = _SIZE
        elif self._next == _TRAILER:
            if line == b"\r\n":
                self.complete = True
            elif _TRAILER_LINE.fullmatch(line) is None:
                raise _malformed("a trailer field is expected", line)
        else:
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise _malformed("RFC 9112 §7.1 does not allow its size or extensions", line)
            self._left = int(match[1] or b"0", 16)
            if self._left and len(line) == len(match[1]) + 2:
                _KNOWN.store(line, self._left)
            self._next = _DATA if self._left else _TRAILER


def _malformed(reason: str, line: bytes) -> RequestError:
    return RequestError(f"malformed chunked body: {reason}, and it goes on with {line[:80]!r}")
