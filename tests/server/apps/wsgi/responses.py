"""What a client gets from a WSGI app wherever it runs: in a thread, in a greenlet, or in the loop.

`test_in_thread.py` and `test_on_loop.py` ask for the same of both kinds of exchanges.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.raw import request
from tests.support.serving import served

#: Bytes that no client has room for at once.
LARGE = 30_000_000


def pieces(environ: Any, start_response: Any) -> Iterator[bytes]:
    """A hundred pieces, `LARGE` bytes."""
    start_response("200 OK", [])
    for number in range(100):
        yield b"%07d\n" % number * (LARGE // 800)


def come_whole_and_in_pieces(runner: Any) -> None:
    """A response leaves whole, or in pieces whose end is told by length or by chunks."""

    def app(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Length", "4")] if path == "/sized" else [])
        return [b"whole"] if path == "/whole" else iter([b"ab", b"cd"])

    with served(WsgiToAsgi(app, runner=runner)) as server:
        for fields in ([], ["Connection: close"]):
            for path, framing, body in [
                ("/whole", "length", b"whole"),
                ("/sized", "length", b"abcd"),
                ("/", "chunked", b"abcd"),
            ]:
                with server.connect() as client:
                    response = client.get(path, *fields)
                    assert (response.framing, response.body) == (framing, body)
                    if fields:
                        assert response.closes
                        assert client.is_closed()
                    else:
                        assert client.get(path).body == body


def come_in_order_to_a_slow_client(runner: Any) -> None:
    """What the client has no room for follows later, and the next response behind it."""
    with served(WsgiToAsgi(pieces, runner=runner)) as server, server.connect() as client:
        client.send(request("/") + request("/"))
        for _ in range(2):
            body = client.response().body
            assert body == b"".join(b"%07d\n" % number * (LARGE // 800) for number in range(100))


def come_behind_their_hints(runner: Any) -> None:
    """Hints leave at once, and not behind the head, nor behind the response."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        hint = environ["wsgi.early_hints"]
        hint([("Link", "</a>")])
        start_response("200 OK", [("Content-Length", "2")])
        yield b"o"
        hint([("Link", "</b>")])
        yield b"k"
        hint([("Link", "</c>")])

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for _ in range(2):
            response = client.get("/")
            assert [hint.fields for hint in response.informational] == [[(b"link", b"</a>")]]
            assert response.body == b"ok"


def come_from_files(runner: Any, folder: Path, first: bytes, *, length: bool) -> None:
    """A file goes from its position on, by the system or in chunks, behind what was sent."""
    content = bytes(range(256)) * 400
    (folder / "file").write_bytes(b"skipped" + content)

    def app(environ: Any, start_response: Any) -> Any:
        size = len(first) + len(content)
        write = start_response("200 OK", [("Content-Length", str(size))] if length else [])
        if first:
            write(first)
        in_python, path = environ["PATH_INFO"] == "/python", folder / "file"
        file: Any = io.BytesIO(path.read_bytes()) if in_python else path.open("rb")
        file.seek(len(b"skipped"))
        return environ["wsgi.file_wrapper"](file)

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for path in ("/system", "/python", "/system"):
            response = client.get(path)
            assert response.body == first + content


def come_from_a_file_that_is_closed(runner: Any, folder: Path) -> None:
    """Nothing but the app's file is sent, whatever is opened under its number meanwhile."""
    (folder / "public").write_bytes(b"p" * LARGE)
    (folder / "secret").write_bytes(b"s" * LARGE)
    files: list[Any] = []

    def app(environ: Any, start_response: Any) -> Any:
        files.append((folder / "public").open("rb"))
        start_response("200 OK", [("Content-Length", str(LARGE))])
        return environ["wsgi.file_wrapper"](files[0])

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        client.send(request())
        first = client.exactly(100_000)
        number = files[0].fileno()
        files[0].close()
        with open(folder / "secret", "rb") as secret:
            assert secret.fileno() == number
            body = first.partition(b"\r\n\r\n")[2]
            body += client.exactly(LARGE - len(body))
    assert body.count(b"p") == LARGE
