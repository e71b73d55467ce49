"""Requests by which one request can be smuggled behind another, or that RFC 9112 refuses."""

from __future__ import annotations

from bench.compared.client import SHORT, connected
from bench.compared.outcome import Outcome

_CHUNKED = b"Transfer-Encoding: chunked\r\n"


def _post(fields: bytes, body: bytes = b"hello", host: bytes = b"Host: probe\r\n") -> bytes:
    return b"POST /echo HTTP/1.1\r\n" + host + fields + b"\r\n" + body


#: What is wrong, and the section of RFC 9112 (or 9110) that says so.
BAD: dict[str, bytes] = {
    "two lengths that differ (6.3)": _post(b"Content-Length: 5\r\nContent-Length: 6\r\n"),
    "a length with a sign (9110, 8.6)": _post(b"Content-Length: +5\r\n"),
    "a length in hexadecimal (9110, 8.6)": _post(b"Content-Length: 0x5\r\n"),
    "an unknown transfer coding (6.1)": _post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "a space before the colon (5.1)": _post(b"Content-Length : 5\r\n"),
    "two Host fields (3.2)": _post(b"Content-Length: 5\r\nHost: other\r\n"),
    "no Host field (3.2)": _post(b"Content-Length: 5\r\n", host=b""),
    "a chunk size with 0x (7.1)": _post(_CHUNKED, b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk that is longer than its size (7.1)": _post(_CHUNKED, b"5\r\nhelloXX0\r\n\r\n"),
    "a line feed in a chunk extension (7.1.1)": _post(_CHUNKED, b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "both a length and chunks, kept open (6.1)": _post(
        b"Content-Length: 5\r\n" + _CHUNKED, b"5\r\nhello\r\n0\r\n\r\n"
    ),
}


def refused(port: int) -> Outcome:
    """How many of them get an error or a closed connection; the rest by name."""
    taken = [what for what, request in BAD.items() if not _refuses(port, what, request)]
    text = f"{len(BAD) - len(taken)} of {len(BAD)}"
    return Outcome(not taken, f"takes {'; '.join(taken)}" if taken else "", text)


def _refuses(port: int, what: str, request: bytes) -> bool:
    with connected(port) as client:
        client.send(request)
        closed = client.until_closed(SHORT)
        good = [status for status in client.statuses() if 200 <= status < 300]
        if "kept open" in what:
            return closed or not good
        return not good and (closed or bool(client.statuses()))
