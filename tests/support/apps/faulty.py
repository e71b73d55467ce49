"""WSGI apps under the validator: one has the fault that its path names, one is slow."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from bridge.types import Environ, StartResponse
from tests.support.validated import validated


def faulty(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """``/good`` has none."""
    fault = environ["PATH_INFO"][1:]
    status: Any = 200 if fault == "status" else "200 OK"
    headers = [("Content-Type", "text/plain")]
    if fault == "header":
        headers.append(("X-Under_score:", "x"))
    if fault == "unread":
        environ["wsgi.input"].read()
    start_response(status, headers)
    chunk: Any = "text" if fault == "chunk" else b"good"
    return [chunk]


wsgi = validated(faulty)


def sleeping(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Blocks the loop of a server that calls it there."""
    time.sleep(0.5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"at last"]


slow = validated(sleeping)
