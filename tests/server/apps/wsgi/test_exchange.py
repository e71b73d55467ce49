"""WSGI exchanges up to the moment when the app runs, and what they give it."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.raw import request
from tests.support.serving import served


@pytest.mark.parametrize("size", [16 * 1024 - 1, 16 * 1024, 50_000, 3_000_000])
@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
def test_large_bodies_in_one_piece(size: int, runner: str) -> None:
    """W35, S10: a body that is not copied to its head is whole, and the connection goes on."""
    body = bytes(range(256)) * (size // 256 + 1)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", str(size))])
        return [body[:size]]

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        for _ in range(3):
            assert client.get("/").body == body[:size]
        client.send(request("/") * 3)
        for _ in range(3):
            assert client.response().body == body[:size]


def test_a_closed_input_is_nobody_elses() -> None:
    """W20: an app that closes the input of a request does not close that of the next."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"].close()
        start_response("200 OK", [])
        return [b"read %d" % len(body)]

    with served(app) as server, server.connect() as client:
        for _ in range(3):
            assert client.get("/").body == b"read 0"


def test_an_environ_is_its_own_requests() -> None:
    """W7, W10: what an app does to its environ, no other request on the connection sees."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        found = [environ.get(key) for key in ("REMOTE_ADDR", "x.mine")]
        gone = environ["bridge.disconnected"]()
        environ["x.mine"] = "here"
        del environ["REMOTE_ADDR"]
        start_response("200 OK", [])
        return [repr((found, gone)).encode()]

    with served(app) as server, server.connect() as client:
        for _ in range(4):
            assert client.get("/").body == b"(['127.0.0.1', None], False)"


def test_early_hints_say_nothing_of_the_response() -> None:
    """W42: fields that speak of the response itself are not sent with 103 (RFC 9110 §8.6)."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        link = ("Link", "</style.css>; rel=preload")
        environ["wsgi.early_hints"]([("Content-Length", "5"), link, ("Date", "now"), ("X-A", "1")])
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]

    with served(app) as server, server.connect() as client:
        client.send(request("/"))
        lines = [client.line() for _ in range(4)]
        assert lines == [
            b"HTTP/1.1 103 Early Hints", b"Link: </style.css>; rel=preload", b"X-A: 1", b"",
        ]  # fmt: skip
        assert client.response().body == b"hello"
