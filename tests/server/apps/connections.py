"""A connection for the pure parts of `server/apps`: what they ask of one, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bridge.server.config.config import Config
from bridge.server.http1.parser import HeadParser
from bridge.server.request import Request


def connection(**more: Any) -> Any:
    """A plain connection from 192.0.2.7 to port 8000 of ours; `more` overrides."""
    settings = more.pop("settings", {})
    found = SimpleNamespace(
        state=SimpleNamespace(config=Config(app=object(), **settings)),
        client=("192.0.2.7", 51234),
        server=("192.0.2.1", 8000),
        scheme="http",
        root_path="",
        tls=None,
        needs_full_scope=False,
    )
    for name, value in more.items():
        setattr(found, name, value)
    return found


def request(line: str = "GET /a%20b?x=1 HTTP/1.1", *fields: str) -> Request:
    """A request as the server reads it; without fields, with a Host."""
    head = "\r\n".join([line, *(fields or ("Host: example.com",))])
    return HeadParser(8190, 65536, 100, 65536).parse(f"{head}\r\n\r\n".encode("latin-1"))
