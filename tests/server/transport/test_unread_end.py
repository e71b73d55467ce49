"""Clients that send more than is read, and leave (S12, S20): the app hears of it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.server.transport.unread_end import FINISHED, GONE, NOTHING, unread_end
from tests.conftest import StartHost
from tests.support.events import event
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, request
from tests.support.waiting import eventually
from tests.support.websocket import handshake

APP = "tests.support.apps.disconnects:app"


@pytest.fixture
def host(start_host: StartHost) -> Host:
    return start_host(bridge(APP, "--lifespan=off"))


@pytest.fixture
def client(host: Host) -> Iterator[Client]:
    with Client(host.connect()) as client:
        yield client


def test_what_the_system_tells() -> None:
    """S12: whether the client sends no more, or is gone, though its bytes are not read yet."""
    ours, theirs = socket.socketpair()
    transport = asyncio.BaseTransport({"socket": ours})
    theirs.send(b"unread")
    assert unread_end(transport) == NOTHING
    theirs.shutdown(socket.SHUT_WR)
    if sys.platform == "linux":
        assert unread_end(transport) == FINISHED
    theirs.close()
    assert unread_end(transport) == GONE
    ours.close()
    assert unread_end(transport) == NOTHING
    assert unread_end(asyncio.BaseTransport()) == NOTHING


def fill(client: Client, data: bytes) -> None:
    """Send until nobody takes it."""
    client.sock.settimeout(1)
    try:
        while True:
            client.sock.sendall(data)
    except (TimeoutError, ConnectionError):
        pass


def test_a_reset_behind_many_requests(host: Host, client: Client) -> None:
    """S12: an app that waits is told, though what came before is not read any more."""
    client.send(request("/told"))
    eventually(lambda: event(host, "told") == "waits")
    fill(client, request("/told") * 1000)
    client.reset()
    eventually(lambda: event(host, "told") == "OSError at message 1")


def test_a_close_behind_many_requests(host: Host, client: Client) -> None:
    """S12: the same for a client that only closes."""
    client.send(request("/told"))
    eventually(lambda: event(host, "told") == "waits")
    client.send(request("/told") * 5000)
    client.sock.close()
    eventually(lambda: event(host, "told") == "OSError at message 1")


def test_a_reset_behind_a_body_that_is_not_read(host: Host, client: Client) -> None:
    """S12: the app reads some of the body, and then waits for nothing of it."""
    client.send(request("/partly", "Content-Length: 100000000", method="POST") + b"x")
    eventually(lambda: event(host, "partly") == "waits")
    fill(client, b"x" * 100_000)
    client.reset()
    eventually(lambda: event(host, "partly") == "told")


@pytest.mark.parametrize("stays", [True, False])
def test_a_flood_before_a_websocket_is_open(host: Host, client: Client, stays: bool) -> None:
    """S20: the connection is ended; an app that has not accepted yet is told, and not held."""
    client.send(handshake("/ws"))
    eventually(lambda: event(host, "/ws") == "waits")
    fill(client, b"x" * 100_000)
    if not stays:
        client.sock.close()
    eventually(lambda: event(host, "/ws") == "websocket.disconnect 1006")


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_a_reset_behind_messages_that_are_not_read(host: Host, client: Client) -> None:
    """S20: the connection of an app that takes no messages and sends none is not kept."""
    client.get("/events")
    descriptors = Path(f"/proc/{host.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    client.send(handshake("/full"))
    eventually(lambda: event(host, "/full") == "waits")
    fill(client, b"\x81\x83abcd123" * 10_000)
    client.reset()
    eventually(lambda: len(list(descriptors.iterdir())) < before)
    with Client(host.connect()) as other:
        other.get("/go")
