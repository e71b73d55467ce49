"""The second descriptor of a connection (W25, W39)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import ClientDisconnected
from bridge.server.transport.socket_writer import NULL_WRITER, SocketWriter


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The server's end of a connection, and the client's."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield ours, theirs


def test_it_writes_what_fits(pair: tuple[socket.socket, socket.socket]) -> None:
    """W39: what the client has no room for is not taken; a thread can wait until it has."""
    ours, theirs = pair
    writer = SocketWriter(ours.fileno())
    assert writer.fileno() not in (-1, ours.fileno())
    assert writer.send(b"hello") == 5
    assert theirs.recv(100) == b"hello"
    assert writer.send(b"a", b"", b"b") == 2
    assert theirs.recv(100) == b"ab"
    data = b"x" * 100_000_000
    sent = writer.send(b"<", data, b">")
    assert 1 < sent < len(data)
    assert writer.send(data) == writer.send(b"<", data) == 0
    assert not writer.wait_for_room(0)
    left = sent
    while left:
        left -= len(theirs.recv(left))
    assert writer.wait_for_room()
    assert writer.send(b"y") == 1


def test_it_sends_files(pair: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    """W41: the kernel sends a part of a file; at its end there is nothing to send."""
    ours, theirs = pair
    writer = SocketWriter(ours.fileno())
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with path.open("rb") as file:
        assert writer.send_file(file.fileno(), 3, 100) == 4
        assert writer.send_file(file.fileno(), 7, 100) == 0
        assert theirs.recv(100) == b"tent"
        while writer.send(b"x" * 100_000):
            pass
        with pytest.raises(BlockingIOError):
            writer.send_file(file.fileno(), 0, 100)
        theirs.close()
        with pytest.raises(ClientDisconnected):
            writer.send_file(file.fileno(), 0, 100)
    with pytest.raises(ClientDisconnected):
        writer.send(b"x")


def test_it_outlives_the_descriptor(pair: tuple[socket.socket, socket.socket]) -> None:
    """W25: a thread writes to its own connection, also when the transport has closed its socket."""
    ours, theirs = pair
    writer = SocketWriter(ours.fileno())
    ours.close()
    assert writer.send(b"still") == 5
    writer.shutdown()
    writer.shutdown()
    assert (theirs.recv(100), theirs.recv(100)) == (b"still", b"")
    with pytest.raises(ClientDisconnected):
        writer.send(b"x")


def test_where_only_the_loop_may_write() -> None:
    """W39: under TLS a thread writes nothing itself."""
    assert NULL_WRITER.send(b"x", b"y") == 0
    assert not NULL_WRITER.wait_for_room(1000)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_writer_without_a_descriptor_leaves_no_noise() -> None:
    """S2: if there is no descriptor left, that is one OSError, and no second error follows it."""
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        SocketWriter(writer)
