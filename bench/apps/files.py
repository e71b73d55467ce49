"""Files: 5 MB from the disk, by an app whose other threads compute all the time.

What a server does between two waits costs it a turn at the interpreter lock here, as in an app
that is busy with something else.
"""

from __future__ import annotations

import random
import tempfile
import threading

SIZE = 5_000_000
BODY = random.Random(5).randbytes(SIZE)
LENGTH = str(SIZE)
ASGI_HEADERS = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % SIZE)]
PIECE = 64 * 1024
#: Threads that compute.
BUSY = 2

_file = tempfile.NamedTemporaryFile(prefix="bench-")  # noqa: SIM115
_file.write(BODY)
_file.flush()
PATH = _file.name


def _compute() -> None:
    while True:
        sum(number * number for number in range(1000))


def _start_once() -> None:
    """Begin to compute, in the process that serves and not in one that only loads."""
    global _start_once
    _start_once = lambda: None  # noqa: E731
    for _ in range(BUSY):
        threading.Thread(target=_compute, daemon=True).start()


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    _start_once()
    await send({"type": "http.response.start", "status": 200, "headers": ASGI_HEADERS})
    if "http.response.pathsend" in scope.get("extensions", {}):
        await send({"type": "http.response.pathsend", "path": PATH})
        return
    with open(PATH, "rb") as file:  # noqa: ASYNC230 - as a plain app does
        while piece := file.read(PIECE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def wsgi(environ, start_response):
    _start_once()
    headers = [("Content-Type", "application/octet-stream"), ("Content-Length", LENGTH)]
    start_response("200 OK", headers)
    file = open(PATH, "rb")  # noqa: SIM115 - the server closes it
    if wrapper := environ.get("wsgi.file_wrapper"):
        return wrapper(file, PIECE)
    return iter(lambda: file.read(PIECE), b"")
