"""Files over a real socket, from the loop and from a thread (S10, W41)."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from bridge.errors import ClientDisconnected
from bridge.limits import HIGH_WATER
from bridge.server.transport.output import Output
from bridge.server.transport.sendfile import FILE_BLOCK, send_file, send_file_blocking
from bridge.types import Receive, Scope, Send
from tests.support.in_loop import InLoop, Talk, in_loop

#: More than one block, and more than any socket takes at once.
SIZE = FILE_BLOCK + 1_000_003
CONTENT = bytes(range(251)) * (SIZE // 251 + 1)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Not called: no request is sent."""


@pytest.fixture
def talk(server: InLoop) -> Iterator[Talk]:
    talk = server.run(server.open())
    yield talk
    talk.protocol.shutdown(at_once=True)
    server.run(until(talk, lambda: talk.protocol.output.closed))
    talk.sock.close()


@pytest.fixture
def server() -> Iterator[InLoop]:
    with in_loop(app) as server:
        yield server


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(CONTENT[:SIZE])
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


async def until(talk: Talk, holds: Callable[[], object]) -> None:
    """Read until that holds."""
    while not holds():
        await talk.turn()


async def beside(talk: Talk, work: Awaitable[None]) -> None:
    """Read until the work is done, and everything has come."""
    sending = asyncio.ensure_future(work)
    await until(talk, sending.done)
    sending.result()


async def in_thread(output: Output, file: int, offset: int, count: int) -> None:
    """Send it from a thread."""
    writer = output.direct_writer()
    assert writer is not None
    await asyncio.to_thread(send_file_blocking, output, writer, file, offset, count)


async def encrypted(output: Output, file: int, offset: int, count: int) -> None:
    """Send it as if only the transport could write."""
    output.tls = True
    await send_file(output, file, offset, count)


WAYS = pytest.mark.parametrize("way", [send_file, encrypted, in_thread])
Way = Callable[[Output, int, int, int], Awaitable[None]]


@WAYS
@pytest.mark.parametrize(("offset", "count"), [(0, SIZE), (7, 1000), (SIZE - 1, 1), (5, 0)])
def test_a_part_of_a_file(
    server: InLoop, talk: Talk, file: int, way: Way, offset: int, count: int
) -> None:
    """S10, W41: all of it comes, in order, and is counted, however slowly the client takes it."""
    output = talk.protocol.output
    server.run(beside(talk, way(output, file, offset, count)))
    server.run(until(talk, lambda: len(talk.answer) >= count))
    assert talk.answer == CONTENT[offset : offset + count]
    assert output.file_sent == count
    assert not output.file_waits


@WAYS
def test_a_socket_that_is_full(server: InLoop, talk: Talk, file: int, way: Way) -> None:
    """S10, W41: the file waits until the client takes something, and loses nothing."""
    output, filled = talk.protocol.output, 0
    writer = output.direct_writer()
    assert writer is not None
    while sent := writer.send(b"x" * HIGH_WATER):
        filled += sent

    async def main() -> None:
        sending = asyncio.ensure_future(way(output, file, 0, SIZE))
        while not (output.file_waits or output.paused):
            await asyncio.sleep(0)
        assert output.file_sent == 0
        await beside(talk, sending)
        await until(talk, lambda: len(talk.answer) >= filled + SIZE)

    server.run(main())
    assert talk.answer[filled:] == CONTENT[:SIZE]


@WAYS
def test_a_file_that_is_too_short(server: InLoop, talk: Talk, file: int, way: Way) -> None:
    """S10: what is missing is an error, when what is there has been sent."""
    with pytest.raises(OSError, match="ended 5 bytes before"):
        server.run(beside(talk, way(talk.protocol.output, file, SIZE - 10, 15)))
    server.run(until(talk, lambda: len(talk.answer) >= 10))
    assert talk.answer == CONTENT[SIZE - 10 : SIZE]


def test_what_waits_in_the_transport_is_first(server: InLoop, talk: Talk, file: int) -> None:
    """S10: the file comes behind what was written before it."""
    before = b"x" * (20 * HIGH_WATER)
    output = talk.protocol.output

    async def main() -> None:
        output.transport.write(before)
        assert output.transport.get_write_buffer_size()
        await beside(talk, send_file(output, file, 0, 1000))
        await until(talk, lambda: len(talk.answer) >= len(before) + 1000)

    server.run(main())
    assert talk.answer == before + CONTENT[:1000]


@WAYS
@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
def test_the_connection_ends_meanwhile(
    server: InLoop, talk: Talk, file: int, way: Way, client: bool
) -> None:
    """S12: whoever ends it while the client takes nothing, nothing waits for ever."""
    output = talk.protocol.output

    async def main() -> None:
        sending = asyncio.ensure_future(way(output, file, 0, SIZE))
        while not (output.file_waits or output.paused):
            await asyncio.sleep(0)
        if client:
            talk.sock.close()
        else:
            talk.protocol.shutdown(at_once=True)
        with pytest.raises(ClientDisconnected):
            await sending
        while not output.closed:
            await asyncio.sleep(0)

    before = threading.active_count()
    server.run(main())
    assert not output.file_waits
    assert threading.active_count() <= before + 1  # the executor's, which is idle
