"""Plaintext with a head that differs from response to response: an entity tag and a cookie."""

from __future__ import annotations

from itertools import count

BODY = b"Hello, world!"
NUMBERS = count(6_420_000_000)


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    number = next(NUMBERS)
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", b"%d" % len(BODY)),
        (b"vary", b"Cookie"),
        (b"etag", b'"%x"' % number),
        (b"set-cookie", b"session=6b07ce2a%x; HttpOnly; Path=/; SameSite=Lax" % number),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def wsgi(environ, start_response):
    number = next(NUMBERS)
    headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(BODY))),
        ("Vary", "Cookie"),
        ("ETag", f'"{number:x}"'),
        ("Set-Cookie", f"session=6b07ce2a{number:x}; HttpOnly; Path=/; SameSite=Lax"),
    ]
    start_response("200 OK", headers)
    return [BODY]
