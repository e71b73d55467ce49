"""Apps that tell what they saw of a request, so that a test can tell one reading from another.

``x-saw: METHOD target body``, and the same as the body of the response.
"""

from __future__ import annotations

from collections.abc import Iterable

from bridge.types import Environ, Receive, Scope, Send, StartResponse


def seen(method: str, target: bytes, body: bytes) -> bytes:
    """What is told of a request: one line, whatever its body holds."""
    text = body.decode("latin-1").encode("unicode_escape")
    return b"%b %b %b" % (method.encode(), target, text[:200])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI 3. Reads the whole body; stays silent if the client leaves in the middle of it."""
    if scope["type"] != "http":
        raise RuntimeError(f"no {scope['type']} here")
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    query = scope["query_string"]
    target = scope["raw_path"] + (b"?" + query if query else b"")
    saw = seen(scope["method"], target, body)
    headers = [(b"content-type", b"text/plain"), (b"x-saw", saw)]
    if scope["method"] != "HEAD":
        headers.append((b"content-length", b"%d" % len(saw)))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": saw})


def wsgi_app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The same as a WSGI app."""
    body = environ["wsgi.input"].read()
    target = environ["REQUEST_URI"].encode("latin-1")
    saw = seen(environ["REQUEST_METHOD"], target, body)
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Saw", saw.decode("latin-1"))])
    return [saw]
