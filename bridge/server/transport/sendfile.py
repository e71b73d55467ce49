"""Files, sent by the kernel if it can (W41, S10): on the loop, and from a thread.

The kernel takes them straight from the file to the socket, past the transport, so nothing may wait
in the transport before them. Under TLS they are read, and written like everything else.
"""

from __future__ import annotations

import asyncio
import os

from bridge.errors import ClientDisconnected
from bridge.limits import HIGH_WATER
from bridge.loops.descriptors import Duplicate
from bridge.server.transport.output import Output
from bridge.server.transport.socket_writer import SocketWriter

#: Bytes that one call of sendfile may take, so that the loop is not held by a fast client.
FILE_BLOCK = 4 * 1024 * 1024


async def send_file(output: Output, file: int, offset: int, count: int) -> None:
    """Send `count` bytes of an open file, from `offset` on.

    Raises `ClientDisconnected`, and `OSError` if the file is shorter.
    """
    await output.emptied()
    writer = output.direct_writer()
    while count:
        if writer is None:
            sent = await _send_block(output, file, offset, min(count, HIGH_WATER))
        else:
            try:
                sent = writer.send_file(file, offset, min(count, FILE_BLOCK))
            except BlockingIOError:
                await _wait_for_room(output, writer)
                continue
            if sent < count:
                await asyncio.sleep(0)  # a client that is fast does not hold the loop
        if not sent:
            raise _too_short(count)
        output.file_sent += sent
        offset += sent
        count -= sent


async def _send_block(output: Output, file: int, offset: int, count: int) -> int:
    block = os.pread(file, count, offset)
    output.transport.write(block)
    await output.drained()
    return len(block)


async def _wait_for_room(output: Output, writer: SocketWriter) -> None:
    loop = asyncio.get_running_loop()
    writable = output.writable()
    loop.add_writer(writer.fileno(), writable.wake)
    output.file_waits = True
    try:
        await writable.wait()
    finally:
        output.file_waits = False
        loop.remove_writer(writer.fileno())
    if output.closed:
        raise ClientDisconnected("the client is gone")


def send_file_blocking(
    output: Output, writer: SocketWriter, file: int, offset: int, count: int
) -> None:
    """The same from a thread, which waits for the client; only if nothing waits in the transport.

    The loop would need a turn for each block, and the interpreter lock for each turn; beside
    threads that compute it gets that late.
    """
    twin = Duplicate(file)  # the app's other threads may close it
    while count:
        try:
            sent = writer.send_file(twin.number(), offset, count)
        except BlockingIOError:
            sent = 0
        else:
            if not sent:
                raise _too_short(count)
            offset += sent
            count -= sent
            output.file_sent += sent
        if count:
            output.file_waits = True  # so that a wait that is too long is ended
            try:
                writer.wait_for_room()
            finally:
                output.file_waits = False
            if output.closed:
                raise ClientDisconnected("the client is gone")


def _too_short(missing: int) -> OSError:
    return OSError(f"the file ended {missing} bytes before its time")
