"""Downloads whose every byte is known: small ones, a file, and the same in pieces.

``/small?N`` is the first N bytes of `CONTENT`, ``/file`` all of it from the file that the
environment names as ``FILES_PATH``, ``/pieces`` all of it from an iterator. ``/hold?N`` keeps the
interpreter for itself for N ms, and with it the loop, as a computation in C may. A body that comes
along is read to its end.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
from collections.abc import Iterable

from bridge.types import Environ, Receive, Scope, Send, StartResponse

SIZE = 5_000_000
PIECE = 64 * 1024
CONTENT = random.Random(5).randbytes(SIZE)
LENGTH = str(SIZE)


def hold(milliseconds: int) -> bytes:
    """Hold the interpreter lock; an empty body."""
    print("held", file=sys.stderr, flush=True)
    ctypes.PyDLL(None).usleep(milliseconds * 1000)
    return b""


def pieces() -> Iterable[bytes]:
    """`CONTENT`, made piece by piece."""
    for at in range(0, SIZE, PIECE):
        yield CONTENT[at : at + PIECE]


def wsgi(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """All of it as a WSGI app."""
    path = environ["PATH_INFO"]
    if path in ("/small", "/hold"):
        number = int(environ["QUERY_STRING"])
        body = CONTENT[:number] if path == "/small" else hold(number)
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    start_response("200 OK", [("Content-Length", LENGTH)])
    if path == "/file":
        file = open(os.environ["FILES_PATH"], "rb")  # noqa: SIM115 - the server closes it
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, PIECE)
        return wrapped
    return pieces()


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """All of it as an ASGI app; the file by pathsend if that is offered."""
    assert scope["type"] == "http"
    if scope["path"] in ("/small", "/hold"):
        number = int(scope["query_string"])
        body = CONTENT[:number] if scope["path"] == "/small" else hold(number)
        while (await receive()).get("more_body"):
            pass
        await _start(send, len(body))
        await send({"type": "http.response.body", "body": body})
        return
    await _start(send, SIZE)
    if scope["path"] == "/file" and "http.response.pathsend" in scope["extensions"]:
        await send({"type": "http.response.pathsend", "path": os.environ["FILES_PATH"]})
        return
    for piece in pieces():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def _start(send: Send, length: int) -> None:
    fields = [(b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
