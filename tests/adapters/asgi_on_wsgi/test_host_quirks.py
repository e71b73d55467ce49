"""What the adapter knows of single hosts."""

from __future__ import annotations

import socket
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bridge.adapters.asgi_on_wsgi.host_quirks import (
    cleartext_socket,
    client_is_gone,
    only_loads_app,
    turns_errors_into_500,
    websocket_help,
    websocket_socket,
)


@pytest.mark.parametrize("key", ["gunicorn.socket", "werkzeug.socket"])
def test_gone_client_is_seen_on_the_socket(key: str) -> None:
    """A12: a client that has closed its side is gone, whatever it left; a look takes nothing."""
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


def test_a_host_that_tells_it_in_words() -> None:
    """A12: waitress has a function for it."""
    assert client_is_gone({"waitress.client_disconnected": lambda: True})
    assert not client_is_gone({"waitress.client_disconnected": lambda: False})


def test_hosts_that_tell_nothing() -> None:
    """A12: if the host shows neither socket nor flag, the client counts as there."""
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


def test_a_socket_that_carries_tls_is_not_taken() -> None:
    """A40: its bytes are not ours to read, whichever host gives it."""
    tls = SimpleNamespace(cipher=lambda: None)
    assert cleartext_socket({"gunicorn.socket": tls}) is None
    assert websocket_socket({"werkzeug.socket": tls}) is None
    file = SimpleNamespace(raw=SimpleNamespace(_sock=tls))
    assert websocket_socket({"SERVER_SOFTWARE": "gevent/26.9", "wsgi.input": file}) is None
    plain: Any = object()
    assert websocket_socket({"gunicorn.socket": plain}) is plain


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({}, "does not give its sockets away"),
        ({"wsgi.url_scheme": "https"}, "does not give its sockets away"),
        ({"wsgi.url_scheme": "http", "gunicorn.socket": None}, "does not give its sockets away"),
        ({"wsgi.url_scheme": "https", "gunicorn.socket": None}, "ends TLS itself"),
        ({"wsgi.url_scheme": "https", "werkzeug.socket": None}, "ends TLS itself"),
    ],
)
def test_a_host_without_websockets_is_told_what_to_do(made: dict[str, Any], says: str) -> None:
    """A40: which hosts can, or that a proxy must end TLS."""
    assert says in websocket_help(made)


def test_uwsgi_answers_no_errors() -> None:
    """A22 A23: it closes the connection without an answer; other hosts make a 500 of them."""
    assert turns_errors_into_500({"SERVER_SOFTWARE": "gunicorn/23"})
    assert not turns_errors_into_500({"uwsgi.version": b"2.0"})


class TestOnlyLoads:
    """Whether this process loads the app for workers that it will fork."""

    @pytest.fixture(autouse=True)
    def _no_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("uwsgi", "gunicorn.app.base"):
            monkeypatch.delitem(sys.modules, name, raising=False)

    def test_without_such_a_host(self) -> None:
        """A31: a process that is no master of anything serves by itself."""
        assert not only_loads_app()

    @pytest.mark.parametrize(("worker", "loads"), [(0, True), (1, False)])
    def test_uwsgi(self, worker: int, loads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """A31: uWSGI's master is worker 0 to itself."""
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(worker_id=lambda: worker))  # type: ignore[arg-type]
        assert only_loads_app() is loads

    def test_gunicorn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A31: Gunicorn's workers are told by the code that runs there."""
        monkeypatch.setitem(sys.modules, "gunicorn.app.base", ModuleType("base"))
        assert only_loads_app()
        worker: dict[str, Any] = {"__name__": "gunicorn.workers.sync", "load": only_loads_app}
        exec("def run(): return load()", worker)
        assert not worker["run"]()
