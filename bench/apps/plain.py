"""Plaintext: thirteen bytes."""

from __future__ import annotations

BODY = b"Hello, world!"
LENGTH = str(len(BODY))
ASGI_LENGTH = LENGTH.encode()


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [
                (b"content-type", b"text/plain"),
                (b"content-length", ASGI_LENGTH),
            ],
        }
    )
    await send({"type": "http.response.body", "body": BODY})


def asgi1(message):
    message["reply_channel"].send(
        {
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", ASGI_LENGTH)],
            "content": BODY,
        }
    )


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", LENGTH)])
    return [BODY]
