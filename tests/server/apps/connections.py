"""A connection for the pure parts of `server/apps`: what they ask of one, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bridge.server.config.config import Config
from bridge.server.http1.parser import HeadParser
from bridge.server.request import Request
from bridge.server.state import Place


def connection(
    *,
    scheme: str = "http",
    server: tuple[str, int | None] | None = ("192.0.2.1", 8000),
    root_path: str = "",
    tls: dict[str, Any] | None = None,
    **settings: Any,
) -> Any:
    """A connection from 192.0.2.7 to port 8000 of ours, unless something else is said."""
    return SimpleNamespace(
        state=SimpleNamespace(config=Config(app=object(), **settings), timed=False),
        identity=SimpleNamespace(
            client=("192.0.2.7", 51234),
            place=Place(scheme, server),
            root_path=root_path,
            tls=tls,
            needs_full_scope=bool(root_path or tls or settings),
        ),
    )


def request(line: str = "GET /a%20b?x=1 HTTP/1.1", *fields: str) -> Request:
    """A request as the server reads it; without fields, with a Host."""
    head = "\r\n".join([line, *(fields or ("Host: example.com",))])
    return HeadParser(8190, 65536, 100, 65536).parse(f"{head}\r\n\r\n".encode("latin-1"))
