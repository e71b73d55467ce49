"""Who is at both ends of a connection, and who is believed (S13, S30, S32)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.server.config.config import Config
from bridge.server.request import Request
from bridge.server.state import ServerState
from bridge.server.transport.identity import Identity

PEER = ("192.0.2.7", 5000)
OURS = ("127.0.0.1", 80)


class Transport(asyncio.Transport):
    """Tells what a transport of this kind tells; an exception is raised."""

    def __init__(self, family: int | None = socket.AF_INET, **told: Any) -> None:
        self.told = {"peername": PEER, "sockname": OURS, **told}
        if family is not None:
            self.told["socket"] = SimpleNamespace(family=family)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        value = self.told.get(name, default)
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def state(loop: asyncio.AbstractEventLoop, **settings: Any) -> ServerState:
    return ServerState(Config(app="x:y", **settings), loop)


def test_tcp(loop: asyncio.AbstractEventLoop) -> None:
    """S13: both addresses are the socket's."""
    found = Identity(Transport(), state(loop))
    assert found.client == PEER
    assert (found.place.scheme, found.place.server) == ("http", OURS)
    assert not any((found.is_unix, found.is_anonymous, found.tls, found.needs_full_scope))


def test_unix(loop: asyncio.AbstractEventLoop) -> None:
    """S13: a client on a Unix socket has no address, and is not anonymous."""
    transport = Transport(socket.AF_UNIX, peername="", sockname="/run/app.sock")
    found = Identity(transport, state(loop))
    assert found.client is None
    assert found.is_unix
    assert not found.is_anonymous
    assert found.place.server == ("/run/app.sock", None)


@pytest.mark.parametrize("peer", [None, OSError("gone")])
def test_reset_already(loop: asyncio.AbstractEventLoop, peer: Any) -> None:
    """S13: a TCP client that was gone before it was looked at is anonymous."""
    assert Identity(Transport(peername=peer), state(loop)).is_anonymous


def test_without_a_socket(loop: asyncio.AbstractEventLoop) -> None:
    """S13: a transport that has no socket is no Unix socket, and its own name may be missing."""
    found = Identity(Transport(None, sockname=None), state(loop))
    assert not found.is_unix
    assert found.place.server == ("", None)


def test_tls(loop: asyncio.AbstractEventLoop) -> None:
    """S13: an encrypted connection is https, and its scopes tell of TLS."""
    ssl_object = SimpleNamespace(
        context=None,
        version=lambda: "TLSv1.3",
        cipher=lambda: ("TLS_AES_128_GCM_SHA256", "TLSv1.3", 128),
        getpeercert=lambda binary_form=False: None,
    )
    found = Identity(Transport(sslcontext=object(), ssl_object=ssl_object), state(loop))
    assert found.place.scheme == "https"
    assert found.tls is not None
    assert found.needs_full_scope


@pytest.mark.parametrize("settings", [{"root_path": "/api"}, {"pathsend": True}])
def test_what_needs_a_full_scope(loop: asyncio.AbstractEventLoop, settings: dict[str, Any]) -> None:
    """S13: a root path and pathsend stand in each scope."""
    assert Identity(Transport(), state(loop, **settings)).needs_full_scope


def test_connections_to_one_place_share_it(loop: asyncio.AbstractEventLoop) -> None:
    """PERFORMANCE, memory: one place for all connections that come in there."""
    shared = state(loop)
    assert Identity(Transport(), shared).place is Identity(Transport(), shared).place


def test_a_proxy_header(loop: asyncio.AbstractEventLoop) -> None:
    """S30: what a PROXY header says replaces both addresses; nobody trusts the client it names."""
    found = Identity(Transport(peername=("127.0.0.1", 1)), state(loop))
    assert found.trusted
    found.set_addresses(("203.0.113.9", 7), ("198.51.100.1", 443))
    assert found.client == ("203.0.113.9", 7)
    assert found.place.server == ("198.51.100.1", 443)
    assert found.environ is None
    assert not found.trusted


def test_a_proxy_header_without_addresses(loop: asyncio.AbstractEventLoop) -> None:
    """S30: LOCAL and UNKNOWN change no address; the proxy's word counts no more, all the same."""
    found = Identity(Transport(peername=("127.0.0.1", 1)), state(loop))
    found.set_addresses(None, None)
    assert found.client == ("127.0.0.1", 1)
    assert not found.trusted


def test_environ(loop: asyncio.AbstractEventLoop) -> None:
    """W7, W10: an environ tells of the client, and whether it is still there."""
    found = Identity(Transport(), state(loop))
    connection = SimpleNamespace(client_left=False)
    environ = found.make_environ(connection)
    assert found.environ is environ
    found.forget_environ()
    assert found.environ is None
    assert environ["REMOTE_ADDR"] == "192.0.2.7"
    assert environ["bridge.disconnected"]() is False
    connection.client_left = True
    assert environ["bridge.disconnected"]() is True


def test_the_word_of_a_trusted_proxy(loop: asyncio.AbstractEventLoop) -> None:
    """S32: `resolve` takes client and scheme from what a proxy says."""
    found = Identity(Transport(peername=("127.0.0.1", 1)), state(loop))
    request = Request("GET", b"/", b"/", b"")
    request.headers = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")]
    found.resolve(request)
    assert request.resolved is not None
    assert request.resolved.client is not None
    assert request.resolved.client[0] == "203.0.113.9"
    assert request.resolved.scheme == "https"
