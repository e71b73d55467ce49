"""Apps that give odd heads of responses, and tell what became of that.

``/N`` sends the head number N of `ASGI`, or of `WSGI`; ``/said`` is what the last one heard:
``taken``, or the name of the error.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.types import Environ, Receive, Scope, Send, StartResponse

LENGTH = (b"content-length", b"1")

#: name -> status, headers; and whether they are taken.
ASGI: dict[str, tuple[Any, Any, bool]] = {
    "usual": (200, [LENGTH], True),
    "no headers": (200, None, True),
    "HTTPStatus": (HTTPStatus.OK, [LENGTH], True),
    "float": (200.0, [LENGTH], False),
    "bool": (True, [LENGTH], False),
    "text": ("200", [LENGTH], False),
    "no status": (None, [LENGTH], False),
    "informational": (103, [], False),
    "too high": (1000, [], False),
    "no reason": (799, [LENGTH], True),
    "length twice": (200, [LENGTH, LENGTH], True),
    "two lengths": (200, [LENGTH, (b"Content-Length", b"2")], False),
    "length of a list": (200, [(b"content-length", b"1, 1")], False),
    "length below 0": (200, [(b"content-length", b"-1")], False),
    "huge length": (200, [(b"content-length", b"1" * 5000)], False),
    "length with blanks": (200, [(b"content-length", b" 1 ")], True),
    "tuple": (200, (LENGTH,), True),
    "lists": (200, [list(LENGTH)], True),
    "bytearray": (200, [(LENGTH[0], bytearray(b"1"))], True),
    "dict": (200, dict([LENGTH]), False),
    "text fields": (200, [("content-length", "1")], False),
    "text value": (200, [(b"x", "1")], False),
    "no pair": (200, [(b"x",)], False),
    "number": (200, 5, False),
    "line end": (200, [(b"x", b"a\r\nb: c")], False),
    "control character": (200, [(b"x", b"a\x01b")], False),
    "no token": (200, [(b"x y", b"a")], False),
    "hop-by-hop": (200, [LENGTH, (b"transfer-encoding", b"chunked")], True),
}

WSGI: dict[str, tuple[Any, Any, bool]] = {
    "usual": ("200 OK", [("Content-Length", "1")], True),
    "no reason": ("200", [("Content-Length", "1")], True),
    "number": (200, [], False),
    "informational": ("103 Early Hints", [], False),
    "length twice": ("200 OK", [("Content-Length", "1"), ("content-length", "1")], True),
    "two lengths": ("200 OK", [("Content-Length", "1"), ("Content-Length", "2")], False),
    "length of a list": ("200 OK", [("Content-Length", "1, 1")], False),
    "huge length": ("200 OK", [("Content-Length", "1" * 5000)], False),
    "line end": ("200 OK", [("X", "a\r\nb: c")], False),
    "control character": ("200 OK", [("X", "a\x01b")], False),
    "not latin-1": ("200 OK", [("X", "\u20ac")], False),
}

SAID = {"asgi": "", "wsgi": ""}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    path = scope["path"].lstrip("/")
    if path == "said":
        return await answer(send, SAID["asgi"].encode())
    status, headers, _ = list(ASGI.values())[int(path)]
    start = {"type": "http.response.start", "status": status, "headers": headers}
    try:
        await send(start)
    except Exception as error:
        SAID["asgi"] = type(error).__name__
        await answer(send, b"refused")
    else:
        SAID["asgi"] = "taken"
        await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"x"})


async def answer(send: Send, body: bytes) -> None:
    fields = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def wsgi_app(environ: Environ, start_response: StartResponse) -> list[bytes]:
    path = environ["PATH_INFO"].lstrip("/")
    if path == "said":
        body = SAID["wsgi"].encode()
    else:
        status, headers, _ = list(WSGI.values())[int(path)]
        try:
            start_response(status, headers)
        except Exception as error:
            SAID["wsgi"] = type(error).__name__
            body = b"refused"
        else:
            SAID["wsgi"] = "taken"
            return [b"x"]
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


on_wsgi = AsgiToWsgi(app)
on_asgi = WsgiToAsgi(wsgi_app)
