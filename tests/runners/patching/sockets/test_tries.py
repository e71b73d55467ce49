"""How a socket is tried: with its timeout as it was, whatever happens."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from bridge.runners.base import await_
from bridge.runners.greenlets.descriptors import READ
from bridge.runners.patching.sockets.tries import at_once, deadline_of, refuse_to_wait, tried
from tests.runners.patching.sockets.jobs import pair, paused, run_jobs


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


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_tried(timeout: float | None) -> None:
    """G6: a call is tried, its socket waited for, and tried again, until it succeeds."""
    with pair(timeout) as (left, right):
        tries = [3]

        def attempt(sock: socket.socket, what: str) -> str:
            tries[0] -= 1
            if tries[0]:
                raise BlockingIOError
            return what

        def original(sock: socket.socket, what: str) -> str:
            return f"original {what}"

        async def main(begin: Any) -> None:
            call = begin(lambda: tried(left, READ, attempt, original, "done"))
            await paused(call)
            right.send(b"x")  # it stays ready: nobody reads that
            assert await call.done == "done"

            async def coroutine() -> str:
                tries[0] = 2
                return tried(left, READ, attempt, original, "call")

            assert await begin(lambda: await_(coroutine())).done == "original call"
            left.setblocking(False)
            assert await begin(lambda: tried(left, READ, attempt, original, "x")).done == (
                "original x"
            )

        run_jobs(main)


def test_time_is_up() -> None:
    """G6: the socket's timeout is for all tries together."""
    with pair(0.1) as (left, right):
        right.send(b"x")

        def attempt(sock: socket.socket) -> None:
            raise BlockingIOError

        async def main(begin: Any) -> None:
            with pytest.raises(TimeoutError, match=r"^timed out$"):
                await begin(lambda: tried(left, READ, attempt, attempt)).done

        run_jobs(main)
