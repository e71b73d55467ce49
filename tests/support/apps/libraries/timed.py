"""When a wait begins and ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

import bridge


def timed(wait: Callable[[float], object], environ: dict[str, Any]) -> str:
    """Wait as long, and in the way, that the request says; returns when that began and ended."""
    seconds, _, way = environ["QUERY_STRING"].partition("&")
    begin = monotonic()
    if way == "in_thread":
        bridge.in_thread(wait, float(seconds))
    else:
        wait(float(seconds))
    return f"{begin} {monotonic()}"


def page(wait: Callable[[float], object]) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """A plain WSGI app that waits."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = timed(wait, environ).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return app
