"""Large: a response of 50 kB in one piece."""

from __future__ import annotations

BODY = b"0123456789" * 5000
LENGTH = str(len(BODY))
ASGI_LENGTH = LENGTH.encode()


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"text/plain"), (b"content-length", ASGI_LENGTH)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTH)])
    return [BODY]
