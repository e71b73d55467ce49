"""Answers that carry their request's number: fast, slow, streamed, large, raising, cut off.

The query is ``NUMBER,SIZE``. With ``STRESS_SWITCH_INTERVAL`` in the environment threads take
turns that often (seconds).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator

from bridge import WsgiToAsgi
from bridge.types import Environ, StartResponse

if interval := os.environ.get("STRESS_SWITCH_INTERVAL"):
    sys.setswitchinterval(float(interval))

closed: list[str] = []


class Streamed:
    """Lines with the request's number."""

    def __init__(self, number: str, lines: int, breaks: bool) -> None:
        self.number = number
        self.lines = lines
        self.breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        for line in range(self.lines):
            yield f"{self.number}:{line}\n".encode() * 20
        if self.breaks:
            raise ValueError("broken off on purpose")

    def close(self) -> None:
        """Note it."""
        closed.append(self.number)


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """See the top of this file."""
    kind = environ["PATH_INFO"][1:]
    number, _, size = environ["QUERY_STRING"].partition(",")
    headers = [("Content-Type", "text/plain"), ("X-Number", number)]
    if kind == "told":
        start_response("200 OK", headers)
        twice = len(closed) - len(set(closed))
        return [json.dumps([twice, list(environ["bridge.stats"]())]).encode()]
    if kind == "raise":
        raise ValueError("raised on purpose")
    if kind == "slow":
        time.sleep(0.03)
    start_response("200 OK", headers)
    if kind in ("stream", "break"):
        return Streamed(number, int(size), kind == "break")
    if kind == "echo":
        return [number.encode(), b":", environ["wsgi.input"].read()]
    if kind == "large":
        return [f"{number}\n".encode() * int(size)]
    return [number.encode()]


asgi = WsgiToAsgi(wsgi, threads=8, queue_limit=10_000)
