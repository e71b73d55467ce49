"""The small answer of ours: an error as a whole response."""

from __future__ import annotations

from bridge.errors import BridgeError
from bridge.http.status import reason_phrase


def refusal(error: BridgeError, begin: bytes, default_lines: bytes) -> bytes:
    """A whole response; `begin` is how the request began, `default_lines` our own fields."""
    text = _public(error)
    return (
        b"HTTP/1.1 %d %b\r\n%bconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
        b"%bcontent-length: %d\r\n\r\n%b"
        % (
            error.status,
            reason_phrase(error.status).encode(),
            default_lines,
            error.fields,
            len(text),
            b"" if begin.startswith(b"HEAD ") else text,
        )
    )


def _public(error: BridgeError) -> bytes:
    """What a client is told: what it did wrong, but neither options nor the server's state."""
    text = reason_phrase(error.status)
    if error.status < 500:
        text += f": {error}".partition("; raise --")[0].partition("; lower --")[0]
    return f"{text}\n".encode("utf-8", "replace")
