"""A large answer in pieces."""

from __future__ import annotations

from collections.abc import Iterator

from bridge.types import Environ, StartResponse

PIECE = b"x" * 65536


def wsgi(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """WSGI: 8 MiB in pieces of 64 KiB."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(128):
        yield PIECE
