"""What the adapter knows of single hosts."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from bridge.adapters.asgi_on_wsgi.host_quirks import (
    cleartext_socket,
    client_is_gone,
    websocket_socket,
)
from tests.adapters.asgi_on_wsgi.direct import environ, serve
from tests.adapters.asgi_on_wsgi.test_app_side import START, body, sending, start


@pytest.mark.parametrize("key", ["gunicorn.socket", "werkzeug.socket"])
def test_gone_client_is_seen_on_the_socket(key: str) -> None:
    """A12: who has closed its side is gone, whatever it left; nothing is taken by looking."""
    ours, theirs = socket.socketpair()
    made = {key: ours}
    with ours, theirs:
        assert not client_is_gone(made)
        theirs.sendall(b"next request")
        assert not client_is_gone(made)
        theirs.shutdown(socket.SHUT_WR)
        assert client_is_gone(made)
        assert ours.recv(100) == b"next request"
        assert client_is_gone(made)
        theirs.close()
        assert client_is_gone(made)
        ours.close()
        assert client_is_gone(made)


def test_reset_client_is_gone() -> None:
    """A12: a connection that was reset is a client that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        with ours:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            theirs.close()
            assert client_is_gone({"gunicorn.socket": ours})


def test_hosts_that_tell_nothing() -> None:
    """A12: where the host shows neither socket nor flag, the client counts as there."""
    assert not client_is_gone({})


def test_socket_below_gevents_input() -> None:
    """A40: gevent's own server has the socket below its input, or below the file in it."""
    given: Any = object()
    file = SimpleNamespace(raw=SimpleNamespace(_sock=given))
    made = {"SERVER_SOFTWARE": "gevent/26.9 Python/3.13", "wsgi.input": file}
    assert websocket_socket(made) is given
    assert websocket_socket({**made, "wsgi.input": SimpleNamespace(rfile=file)}) is given
    assert websocket_socket({**made, "wsgi.input": object()}) is None
    assert cleartext_socket(made) is None


class TestUwsgi:
    """uWSGI answers nothing when an app raises, nor when exc_info is handed over."""

    MADE: ClassVar = {"uwsgi.version": b"2.0"}

    @pytest.mark.parametrize("messages", [[ValueError("mine")], [START, ValueError("mine")], []])
    def test_errors_are_answered(
        self, messages: list[Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """A22 A23: so the adapter answers and logs itself, without exc_info."""
        answer = serve(sending(*messages), environ(**self.MADE))
        assert (answer.code, answer.with_exc_info) == (500, False)
        assert "the app failed" in caplog.text

    def test_errors_in_the_body_are_raised(self) -> None:
        """A23: once bytes have left, the exception is the host's as everywhere."""
        answer = serve(sending(START, body(b"x", True), ValueError()), environ(**self.MADE))
        assert isinstance(answer.error, ValueError)


def test_content_length_of_a_stream_is_kept() -> None:
    """A25: the length that an app gives for its stream goes out as it is."""
    answer = serve(sending(start(200, (b"content-length", b"2")), body(b"a", True), body(b"b")))
    assert answer.header("content-length") == "2"
