"""The hand-over between a thread of the pool and the loop, at the moments that are hard to meet."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.server.http import HttpProtocol
from bridge.server.writing import Writing
from tests.support.raw import request
from tests.support.websocket import served


def breaks(environ: Any, start_response: Any) -> Iterator[bytes]:
    """Half a response, whose end only the end of the connection would tell."""
    start_response("200 OK", [])
    yield b"half"
    raise RuntimeError("the other half is missing")


def test_a_look_between_a_failure_and_its_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """W38, W36: what a thread could not complete is cut, whatever the loop sees to before it."""
    call_on_loop = Writing.call_on_loop

    def late(self: HttpProtocol, function: Callable[..., object], *args: object) -> None:
        call_on_loop(self, self.sweep, self.state.now)
        call_on_loop(self, function, *args)

    monkeypatch.setattr(Writing, "call_on_loop", late)
    with served(breaks) as server, server.connect() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            client.rest()


def test_an_error_behind_a_response_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """W39: a response that is all with the loop is the loop's; its thread touches it no more."""
    body = b"x" * 30_000_000
    cutters: list[threading.Thread] = []
    tried = threading.Event()
    cut = HttpProtocol.cut

    def noted(self: HttpProtocol) -> None:
        cutters.append(threading.current_thread())
        cut(self)

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Length", str(len(body) + 1))])
        try:
            yield body[:1]
            yield body
            raise ClientDisconnected("whatever the app waited for")
        finally:
            tried.set()

    monkeypatch.setattr(HttpProtocol, "cut", noted)
    with served(app) as server, server.connect() as client:
        client.send(request("/"))
        assert tried.wait(20)
        assert client.response().body == body[:1] + body
        assert cutters == []
