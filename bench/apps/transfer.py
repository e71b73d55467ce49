"""Transfers of any size: POST answers how many bytes it read, GET /<n> sends n bytes."""

from __future__ import annotations

PIECE = bytes(65_536)


def pieces(count):
    """`count` zero bytes in pieces of at most 64 KiB."""
    whole, rest = divmod(count, len(PIECE))
    for _ in range(whole):
        yield PIECE
    if rest:
        yield PIECE[:rest]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    headers = [(b"content-type", b"application/octet-stream")]
    if scope["method"] == "GET":
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in pieces(int(scope["path"][1:])):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    count, more = 0, True
    while more:
        message = await receive()
        count += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"%d" % count})


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    if environ["REQUEST_METHOD"] == "GET":
        return pieces(int(environ["PATH_INFO"][1:]))
    body, count = environ["wsgi.input"], 0
    while piece := body.read(len(PIECE)):
        count += len(piece)
    return [b"%d" % count]
