"""Bytes in and out of one connection, for the figures (O2).

The kernel counts those of TCP anyway, and is asked at the end, and once in a while before. A Unix
socket has no such counters, and those of TLS would tell what it adds: there the bytes are counted
on their way, between transport and protocol.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from bridge.server.metrics.traffic import Source
from bridge.server.transport.socket_writer import SocketWriter

#: In Linux's ``struct tcp_info``: state, bytes acknowledged and received; not sent yet; sent, and
#: of these for a second time.
_TCP_INFO: Final = struct.Struct("=B119xQQ8xI52xQQ")
#: States in which the client's FIN has come, which the kernel counts as a byte: CLOSE_WAIT,
#: LAST_ACK and CLOSING.
_FIN_CAME: Final = (8, 9, 11)
_CLOSED: Final = 7


@functools.cache
def kernel_counts() -> bool:
    """Whether the kernel tells how many bytes went through a TCP connection (Linux 4.19)."""
    if sys.platform != "linux":
        return False
    with socket.socket() as sock:
        told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        return len(told) == _TCP_INFO.size


def tcp_source(sock: Any) -> Source:
    """Return what asks the kernel for the bytes that went through `sock`."""

    def ask() -> tuple[int, int] | None:
        try:
            told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        except (OSError, ValueError):  # closed
            return None
        state, acknowledged, received, unsent, sent, again = _TCP_INFO.unpack(told)
        sent -= again
        if state in _FIN_CAME or (state == _CLOSED and acknowledged > sent):
            received -= 1
        return received, sent + unsent

    return ask


class Counts:
    """Bytes that were counted on their way: call it for what came in and what went out."""

    __slots__ = ("received", "sent", "sent_directly")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        #: Through a `SocketWriter`, perhaps in a thread.
        self.sent_directly = 0

    def __call__(self) -> tuple[int, int]:
        """Return the bytes in and out so far (`Source`)."""
        return self.received, self.sent + self.sent_directly


class CountedProtocol(asyncio.Protocol):
    """Stands before a protocol, and counts what comes."""

    def __init__(self, protocol: asyncio.Protocol, counts: Counts) -> None:
        self._counts = counts
        self._take = protocol.data_received
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self._counts.received += len(data)
        self._take(data)


class CountedTransport:
    """Stands before a transport, and counts what is written; all else is the transport's."""

    __slots__ = (
        *("_counts", "_inner", "_put", "_put_parts"),
        *("get_extra_info", "get_write_buffer_size", "is_closing"),
    )

    def __init__(self, inner: asyncio.Transport, counts: Counts) -> None:
        self._counts = counts
        self._inner = inner
        self._put = inner.write
        self._put_parts = inner.writelines
        # Those that are called for each request.
        self.get_extra_info = inner.get_extra_info
        self.get_write_buffer_size = inner.get_write_buffer_size
        self.is_closing = inner.is_closing
        inner.set_protocol(CountedProtocol(cast(asyncio.Protocol, inner.get_protocol()), counts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def write(self, data: bytes) -> None:
        """Write and count."""
        self._counts.sent += len(data)
        self._put(data)

    def writelines(self, parts: Sequence[bytes]) -> None:
        """Write and count."""
        self._counts.sent += sum(map(len, parts))
        self._put_parts(parts)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Leave the transport to another protocol, whose bytes are counted on."""
        self._inner.set_protocol(CountedProtocol(cast(asyncio.Protocol, protocol), self._counts))


class CountedWriter(SocketWriter):
    """A `SocketWriter` that counts."""

    __slots__ = ("_counts",)

    def __init__(self, descriptor: int, counts: Counts) -> None:
        super().__init__(descriptor)
        self._counts = counts

    def send(self, *parts: bytes | memoryview) -> int:
        """Write what fits now of these."""
        sent = super().send(*parts)
        self._counts.sent_directly += sent
        return sent

    def send_file(self, file: int, offset: int, count: int) -> int:
        """Have the kernel send a part of an open file."""
        sent = super().send_file(file, offset, count)
        self._counts.sent_directly += sent
        return sent


def count_bytes(
    transport: asyncio.Transport, *, tls: bool
) -> tuple[asyncio.Transport, Source, Callable[[int], SocketWriter]]:
    """Have the bytes of a new connection counted.

    Returns the transport that is to be used, what tells the bytes, and what makes a `SocketWriter`.
    """
    sock = transport.get_extra_info("socket")
    is_tcp = sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6)
    if is_tcp and not tls and kernel_counts():
        return transport, tcp_source(sock), SocketWriter
    counts = Counts()
    counted = cast(asyncio.Transport, CountedTransport(transport, counts))
    return counted, counts, lambda descriptor: CountedWriter(descriptor, counts)
