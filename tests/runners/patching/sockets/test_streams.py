"""Streams that greenlets read and write."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge.errors import RequestCancelled
from bridge.runners.base import await_
from bridge.runners.greenlets.runner import GreenletRunner
from bridge.runners.patching.sockets import streams
from tests.runners.jobs import Call, run_with
from tests.runners.patching.sockets.jobs import pair, paused, run_jobs

TIMEOUTS = [None, 60.0]
LARGE = bytes(range(256)) * 16384  # 4 MB, more than a socket takes


def into(sock: socket.socket, size: int, **keywords: Any) -> bytes:
    """What `recv_into` receives."""
    buffer = bytearray(size)
    return bytes(buffer[: sock.recv_into(buffer, **keywords)])


READERS: dict[str, Callable[[socket.socket], bytes]] = {
    "recv": lambda sock: sock.recv(100),
    "recv with flags": lambda sock: sock.recv(100, socket.MSG_CMSG_CLOEXEC),
    "recv_into": lambda sock: into(sock, 100),
    "recv_into with a number": lambda sock: into(sock, 100, nbytes=50),
    "recv_into with flags": lambda sock: into(sock, 100, flags=socket.MSG_CMSG_CLOEXEC),
    "makefile": lambda sock: sock.makefile("rb").readline(),
}


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("reader", READERS)
def test_reading(reader: str, timeout: float | None) -> None:
    """G6: a greenlet that reads lets the loop run until there is data; then it has it at once."""
    read = READERS[reader]
    with pair(timeout) as (left, right):

        async def main(begin: Any) -> None:
            call = begin(lambda: read(left))
            await paused(call)
            right.send(b"one\n")
            assert await call.done == b"one\n"
            right.send(b"two\n")
            assert await begin(lambda: read(left)).done == b"two\n"
            right.close()
            assert await begin(lambda: read(left)).done == b""
            assert left.gettimeout() == timeout

        run_jobs(main)


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("flags", [0, socket.MSG_NOSIGNAL])
@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_writing(timeout: float | None, flags: int, form: Any) -> None:
    """G6: a greenlet that writes lets the loop run until the other side has taken it."""
    data = form(LARGE)
    with pair(timeout) as (left, right):

        async def main(begin: Any) -> None:
            call = begin(lambda: left.sendall(data, flags))
            await paused(call)
            right.setblocking(False)
            received = bytearray()
            while not call.done.done() or len(received) < len(LARGE):
                try:
                    received += right.recv(1 << 20)
                except BlockingIOError:
                    await asyncio.sleep(0)
            assert await call.done is None
            assert received == LARGE

        run_jobs(main)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_sending_some(timeout: float | None) -> None:
    """G6: `send` waits for room, and says how much it has sent."""
    with pair(timeout) as (left, right):

        async def main(begin: Any) -> None:
            sent = await begin(lambda: left.send(LARGE)).done
            assert 0 < sent < len(LARGE)
            call = begin(lambda: left.send(LARGE))
            await paused(call)
            right.recv(sent)
            assert await call.done > 0

        run_jobs(main)


@pytest.mark.parametrize("work", [lambda s: s.recv(1), lambda s: into(s, 1), None])
def test_time_is_up(work: Any) -> None:
    """G6: a socket's timeout holds for a call as a whole, and raises the usual error."""
    with pair(0.2) as (left, right):

        async def main(begin: Any) -> None:
            call = begin((lambda: work(left)) if work else (lambda: left.sendall(LARGE)))
            right.setblocking(False)
            while not call.done.done():
                if not work:
                    try:
                        right.recv(10)  # some is taken all the time
                    except BlockingIOError:
                        pass
                await asyncio.sleep(0.01)
            with pytest.raises(TimeoutError, match=r"^timed out$"):
                await call.done

        run_jobs(main)


def test_without_waiting() -> None:
    """G6: a socket that the app has made non-blocking does not wait, as ever."""
    with pair(0) as (left, _):

        async def main(begin: Any) -> None:
            for work in (lambda: left.recv(1), lambda: into(left, 1)):
                with pytest.raises(BlockingIOError):
                    await begin(work).done
            with pytest.raises(BlockingIOError):
                await begin(lambda: left.sendall(LARGE)).done
            with pytest.raises(BlockingIOError):
                await begin(lambda: left.send(b"x")).done

        run_jobs(main)


def test_without_waiting_behind_its_back() -> None:
    """G6: a descriptor that was made non-blocking without its socket does not wait, as ever."""
    with pair(None) as (left, _):
        os.set_blocking(left.fileno(), False)

        async def main(begin: Any) -> None:
            for work in (lambda: left.recv(1), lambda: left.sendall(LARGE)):
                with pytest.raises(BlockingIOError):
                    await begin(work).done

        run_jobs(main)


def test_blocking_behind_its_back() -> None:
    """G6: nor does a descriptor block the loop that a copy of its socket has made blocking."""
    with pair(0.05) as (left, _), left.dup() as copy:
        copy.setblocking(True)

        async def main(begin: Any) -> None:
            for work in (
                lambda: left.recv(1),
                lambda: into(left, 1),
                lambda: left.recv(1, socket.MSG_PEEK),
                lambda: left.sendall(LARGE),
                lambda: left.send(b"x"),
            ):
                with pytest.raises(TimeoutError):
                    await begin(work).done

        run_jobs(main)


def test_all_or_nothing() -> None:
    """G6: MSG_WAITALL waits until all is there, or the other side ends."""
    with pair(None) as (left, right):

        async def main(begin: Any) -> None:
            for work in (
                lambda: left.recv(4, socket.MSG_WAITALL),
                lambda: into(left, 4, flags=socket.MSG_WAITALL),
                lambda: into(left, 9, nbytes=4, flags=socket.MSG_WAITALL),
            ):
                call = begin(work)
                for byte in b"abcd":
                    await paused(call)
                    right.send(bytes([byte]))
                assert await call.done == b"abcd"
            with pytest.raises(ValueError):
                await begin(lambda: into(left, 1, nbytes=2, flags=socket.MSG_WAITALL)).done
            call = begin(lambda: left.recv(4, socket.MSG_WAITALL))
            right.send(b"ab")
            await paused(call)
            right.close()
            assert await call.done == b"ab"

        run_jobs(main)


def test_two_that_read() -> None:
    """G6: of greenlets that read one socket, one gets the data, the others wait on."""
    with pair(None) as (left, right):

        async def main(begin: Any) -> None:
            calls = [begin(lambda: left.recv(1)) for _ in range(5)]
            await paused(*calls)
            for byte in b"abcde":
                right.send(bytes([byte]))
                await asyncio.sleep(0.001)
            assert sorted([await call.done for call in calls]) == [b"a", b"b", b"c", b"d", b"e"]

        run_jobs(main)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_closed_meanwhile(timeout: float | None) -> None:
    """G6: a socket that is closed ends the calls that wait for it, and those that follow."""
    with pair(timeout) as (left, _):

        async def main(begin: Any) -> None:
            call = begin(lambda: left.recv(1))
            await paused(call)
            left.close()
            with pytest.raises(OSError, match="Errno 9"):
                await call.done
            for work in (lambda: left.recv(1), lambda: left.send(b""), lambda: left.sendall(b"x")):
                with pytest.raises(OSError, match="Bad file descriptor"):
                    await begin(work).done

        run_jobs(main)


def test_errors() -> None:
    """G6: errors are those of the system: what the other side does, and what makes no sense."""
    with pair(None) as (left, right):

        async def main(begin: Any) -> None:
            right.close()
            with pytest.raises(BrokenPipeError):
                await begin(lambda: left.sendall(b"x")).done
            with pytest.raises(ValueError, match="negative"):
                await begin(lambda: left.recv(-1)).done
            with pytest.raises(TypeError):
                await begin(lambda: left.sendall("text")).done  # type: ignore[arg-type]
            with socket.socket() as unconnected, pytest.raises(OSError, match="not connected"):
                await begin(lambda: unconnected.recv(1)).done

        run_jobs(main)


def test_interrupted() -> None:
    """G6: a stop of the server, or of the request, ends a wait for a socket."""
    with pair(None) as (left, _):

        async def main(runner: Any) -> None:
            call = Call(lambda: left.recv(1))
            runner.submit(call)
            await paused(call)
            runner.interrupt(call, RequestCancelled("enough"))
            with pytest.raises(RequestCancelled):
                await call.done

        run_with(GreenletRunner(), main)


def test_in_threads_and_coroutines() -> None:
    """G6: outside of the app's own code in greenlets, sockets do what they always did."""
    with pair(None) as (left, right):

        async def main(begin: Any) -> None:
            results: list[bytes] = []
            thread = threading.Thread(target=lambda: results.append(left.recv(1) + into(left, 1)))
            thread.start()
            await asyncio.sleep(0.01)
            right.sendall(b"ab")
            await asyncio.to_thread(thread.join)
            assert results == [b"ab"]

            async def coroutine() -> bytes:
                return left.recv(1) + await asyncio.to_thread(left.recv, 1)

            right.sendall(b"c")
            call = begin(lambda: await_(coroutine()))
            await paused(call)
            right.sendall(b"d")
            assert await call.done == b"cd"

        run_jobs(main)


def test_blocking_in_a_coroutine() -> None:
    """G6: a coroutine of the server's loop that calls a socket that blocks is blocked, as ever."""
    with pair(None) as (left, right):

        def other_side() -> None:
            taken = 0
            while taken < len(LARGE):
                taken += len(right.recv(1 << 20))
            right.send(b"x")

        async def main(begin: Any) -> None:
            async def coroutine() -> bytes:
                left.sendall(LARGE)
                return left.recv(1)

            thread = threading.Thread(target=other_side)
            thread.start()
            assert await begin(lambda: await_(coroutine())).done == b"x"
            thread.join()

        run_jobs(main)


def test_two_that_write() -> None:
    """G6: greenlets that write to one socket each write all of theirs."""
    with pair(None) as (left, right):

        async def main(begin: Any) -> None:
            calls = [begin(lambda: left.sendall(bytearray(LARGE))) for _ in range(3)]
            await paused(*calls)
            right.setblocking(False)
            received = 0
            while received < 3 * len(LARGE):
                try:
                    received += len(right.recv(1 << 16))
                except BlockingIOError:
                    pass
                await asyncio.sleep(0)
            for call in calls:
                await call.done

        run_jobs(main)


@pytest.mark.parametrize("timeout", TIMEOUTS)
def test_without_the_part_in_c(timeout: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """G6: where the calls in C are not compiled, sockets wait in greenlets all the same."""
    monkeypatch.setattr(streams, "nonblocking", None)
    with pair(timeout) as (left, right):

        async def main(begin: Any) -> None:
            for read in READERS.values():
                call = begin(lambda read=read: read(left))
                await paused(call)
                right.send(b"one\n")
                assert await call.done == b"one\n"
            assert await begin(lambda: left.send(b"some")).done == 4
            call = begin(lambda: left.sendall(LARGE))
            await paused(call)
            right.setblocking(False)
            received = 0
            while received < len(LARGE) + 4:
                try:
                    received += len(right.recv(1 << 20))
                except BlockingIOError:
                    await asyncio.sleep(0)
            assert await call.done is None
            assert left.gettimeout() == timeout

        run_jobs(main)
