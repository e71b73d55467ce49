"""A Flask app with responses that last: event streams, downloads, and some that never end."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, request, send_file

from bridge import WsgiToAsgi

SIZE = 100 * 1024 * 1024
#: Seconds between two events.
PAUSE = 0.5

app = Flask(__name__)
#: Set by ``/release``: what blocks goes on.
gate = threading.Event()
_file = tempfile.NamedTemporaryFile(suffix=".bin")  # noqa: SIM115  (as long as the process)
_file.truncate(SIZE)


@app.get("/health")
def health() -> Any:
    """The pool's figures, and what the process holds."""
    stats = request.environ["bridge.stats"]()
    with open("/proc/self/statm", encoding="ascii") as statm:
        pages = int(statm.read().split()[1])
    return jsonify(
        {
            **stats._asdict(),
            "threads": threading.active_count(),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "memory": pages * os.sysconf("SC_PAGE_SIZE"),
        }
    )


@app.get("/events")
def events() -> Response:
    """An event, and another whenever some time has passed."""

    def each() -> Iterator[str]:
        while True:
            yield "data: an event\n\n"
            time.sleep(PAUSE)

    return Response(each(), mimetype="text/event-stream")


@app.get("/generated")
def generated() -> Response:
    """100 MB by a generator."""
    piece = bytes(64 * 1024)
    pieces = (piece for _ in range(SIZE // len(piece)))
    return Response(pieces, mimetype="application/octet-stream")


@app.get("/file")
def file() -> Response:
    """100 MB in a file."""
    return send_file(_file.name)


@app.get("/stuck")
def stuck() -> Response:
    """A piece, and then nothing until all is released."""

    def each() -> Iterator[str]:
        yield "one\n"
        gate.wait()
        yield "two\n"

    return Response(each(), mimetype="text/plain")


@app.get("/stuck-in-close")
def stuck_in_close() -> Response:
    """Two pieces, and a ``close()`` that returns when all is released."""
    response = Response((text for text in ("one\n", "two\n")), mimetype="text/plain")
    response.call_on_close(gate.wait)
    return response


@app.get("/release")
def release() -> str:
    """Release what is stuck."""
    gate.set()
    return "released"


asgi = WsgiToAsgi(app, threads=8)
