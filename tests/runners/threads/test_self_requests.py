"""Which connections this process has with itself, over whatever sockets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bridge.runners.threads.self_requests import self_connections


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(stack: ExitStack, family: int, address: str, to: str) -> tuple[socket.socket, ...]:
    listener = stack.enter_context(socket.socket(family))
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((address, 0))
    listener.listen()
    client = socket.create_connection((to, listener.getsockname()[1]))
    return stack.enter_context(client), stack.enter_context(listener.accept()[0])


@pytest.mark.parametrize(
    ("family", "address", "to"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET, "0.0.0.0", "127.0.0.2"),
        (socket.AF_INET6, "::1", "::1"),
        (socket.AF_INET6, "::", "127.0.0.1"),
    ],
)
def test_both_ends_are_ours(stack: ExitStack, family: int, address: str, to: str) -> None:
    """W53: a client that is this process is told, over IPv4, IPv6, and the one over the other."""
    _, served = connect(stack, family, address, to)
    peer = served.getpeername()[:2]
    assert self_connections({peer}) == {peer}


def test_one_end_is_not(stack: ExitStack) -> None:
    """W53: another process is not this one, even if it has its address and port from here."""
    client, served = connect(stack, socket.AF_INET, "127.0.0.1", "127.0.0.1")
    peer = served.getpeername()[:2]
    fork = os.dup(client.fileno())  # as a child would hold it
    client.close()
    assert self_connections({peer}) == {peer}
    os.close(fork)
    assert self_connections({peer}) == set()
    assert self_connections({("192.0.2.1", 80)}) == set()
    assert self_connections(set()) == set()


def test_nothing_is_touched(stack: ExitStack) -> None:
    """W53: looking closes no descriptor and changes no socket."""
    client, served = connect(stack, socket.AF_INET, "127.0.0.1", "127.0.0.1")
    client.settimeout(5)
    read, write = os.pipe()
    self_connections({served.getpeername()[:2]})
    os.write(write, b"x")
    assert os.read(read, 1) == b"x"
    os.close(read)
    os.close(write)
    served.sendall(b"still open")
    assert client.recv(100) == b"still open"
    assert client.gettimeout() == 5


def test_other_descriptors(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """W53: sockets of other kinds, without a peer, or just closed, are no such connections."""
    _, served = connect(stack, socket.AF_INET, "127.0.0.1", "127.0.0.1")
    for each in socket.socketpair():
        stack.enter_context(each)
    closed = os.dup(0)
    os.close(closed)
    listed = os.listdir("/dev/fd")
    monkeypatch.setattr(os, "listdir", lambda _: [*listed, str(closed)])
    peer = served.getpeername()[:2]
    assert self_connections({peer, ("192.0.2.1", 1)}) == {peer}


def test_a_system_that_does_not_tell(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """W53: without a folder of descriptors nothing is known."""
    _, served = connect(stack, socket.AF_INET, "127.0.0.1", "127.0.0.1")
    monkeypatch.setattr("bridge.runners.threads.self_requests._DESCRIPTORS", "/no/such/folder")
    assert self_connections({served.getpeername()[:2]}) == set()
