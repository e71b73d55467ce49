"""How a socket is tried: with its timeout as it was, whatever happens."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from bridge.runners.patching.sockets.tries import at_once, deadline_of, refuse_to_wait
from tests.runners.patching.sockets.jobs import pair


@pytest.mark.parametrize("timeout", [None, 5.0, 0.0])
def test_at_once(timeout: float | None) -> None:
    """G6: a call that is made at once leaves the socket's timeout as it was, also by an error."""
    with pair(timeout) as (left, right):
        with pytest.raises(BlockingIOError):
            at_once(left, socket.socket.recv, 1)
        assert left.gettimeout() == timeout
        right.send(b"x")
        assert at_once(left, socket.socket.recv, 1) == b"x"
        assert left.gettimeout() == timeout

        def close(sock: Any) -> None:
            sock.close()

        at_once(left, close)
        with pytest.raises(OSError, match="Bad file descriptor"):
            at_once(left, socket.socket.recv, 1)


def test_deadlines() -> None:
    """G6: a socket without timeout has no deadline."""
    assert deadline_of(None) is None
    first, second = deadline_of(1), deadline_of(2)
    assert first is not None
    assert second is not None
    assert first < second


def test_what_does_not_wait() -> None:
    """G6: a descriptor that blocks is waited for; one that does not, without a timeout, is not."""
    with pair(None) as (left, _):
        refuse_to_wait(left, None)
        left.setblocking(False)
        refuse_to_wait(left, 5)
        with pytest.raises(BlockingIOError):
            refuse_to_wait(left, None)
