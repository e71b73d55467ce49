"""Parse the PROXY protocol, versions 1 and 2, which names the client of a connection (S30).

A proxy that passes bytes on without reading them (HAProxy in TCP mode, a cloud's network load
balancer) sends a header before the first byte that names the client. Version 1 is one line of text,
version 2 a binary header with a length. Feed a `ProxyHeader` until the header is whole:

    header = ProxyHeader()
    proxied = header.feed(data)     # None: more is needed

A client's own bytes cannot be told from a proxy's. So a header is read only if the operator asks
for it; then it must come on every connection, and anything else is an error. Pure: no I/O.
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import NamedTuple

from bridge.errors import RequestError
from bridge.types import Address, ServerAddress

_V1_START = b"PROXY "
_V2_START = b"\r\n\r\n\0\r\nQUIT\n"
_V2_FIXED = len(_V2_START) + 4

#: Longest header of version 1, its CRLF included: `PROXY UNKNOWN` and two full IPv6 addresses.
V1_LIMIT = 107
_V1_LEAST = len("PROXY UNKNOWN\r\n")
#: Longest header of version 2: the fixed part and what its 16-bit length can name.
V2_LIMIT = _V2_FIXED + 0xFFFF

_V1_LINE = re.compile(
    rb"PROXY TCP(?P<version>[46]) (?P<source>[0-9a-fA-F.:]{2,39}) (?P<target>[0-9a-fA-F.:]{2,39})"
    rb" (?P<source_port>0|[1-9][0-9]{0,4}) (?P<target_port>0|[1-9][0-9]{0,4})"
)

#: Low nibble of the version 2 command byte.
_LOCAL, _PROXY = 0, 1
#: High nibble of its family byte -> the layout of the addresses that follow.
_UNSPECIFIED, _INET, _INET6, _UNIX = 0, 1, 2, 3
_LAYOUTS = {
    _UNSPECIFIED: struct.Struct(""),
    _INET: struct.Struct("!4s4sHH"),
    _INET6: struct.Struct("!16s16sHH"),
    _UNIX: struct.Struct("!108s108s"),
}


class Proxied(NamedTuple):
    """The content of a whole PROXY header, and the bytes that came after it.

    `client` and `server` are ``(address, port)`` as the proxy saw them. Both are None if the proxy
    connects for itself (a health check) or does not know: then the addresses of the socket hold. If
    the client reached the proxy over a Unix socket, `client` is None and `server` is
    ``(path, None)``, as in an ASGI scope.
    """

    client: Address | None
    server: ServerAddress | None
    rest: bytes


def not_allowed() -> RequestError:
    """Return the error for a PROXY header from a peer that may not send one."""
    return RequestError("name the proxies in --proxy-protocol-allow-ips; this is none of them")


class ProxyHeader:
    """Parse the header from the first bytes of one connection, however they are cut."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def missing(self) -> int:
        """At least so many more bytes belong to the header: reading them never reads past it."""
        buffer = self._buffer
        if buffer[:1] == _V1_START[:1]:
            return max(_V1_LEAST - len(buffer), 1 if buffer[-1:] == b"\r" else 2)
        if len(buffer) < _V2_FIXED:
            return min(_V1_LEAST, _V2_FIXED - len(buffer))
        return _V2_FIXED + int(struct.unpack_from("!H", buffer, _V2_FIXED - 2)[0]) - len(buffer)

    def feed(self, data: bytes) -> Proxied | None:
        """Return the content of the header once it is whole; None while more bytes are needed.

        Raises `RequestError` as soon as the bytes cannot become a header. After that, and after a
        result, the object must not be used again.
        """
        buffer = self._buffer
        buffer += data
        if buffer[:1] == _V1_START[:1]:
            return _version_1(buffer)
        if buffer:
            return _version_2(buffer)
        return None


def _version_1(buffer: bytearray) -> Proxied | None:
    """Parse one line of text (PROXY protocol §2.1)."""
    _expect(buffer, _V1_START)
    end = buffer.find(b"\r\n", 0, V1_LIMIT)
    if end < 0:
        if len(buffer) >= V1_LIMIT:
            raise RequestError(
                f"PROXY header of version 1 has no end within {V1_LIMIT} bytes, its longest form"
            )
        return None
    line, rest = bytes(buffer[:end]), bytes(buffer[end + 2 :])
    if line == b"PROXY UNKNOWN" or line.startswith(b"PROXY UNKNOWN "):
        return Proxied(None, None, rest)
    match = _V1_LINE.fullmatch(line)
    if match is None:
        raise RequestError(f"PROXY header of version 1 is malformed: {line!r}")
    kind = ipaddress.IPv4Address if match["version"] == b"4" else ipaddress.IPv6Address
    ports = int(match["source_port"]), int(match["target_port"])
    try:
        hosts = str(kind(match["source"].decode())), str(kind(match["target"].decode()))
    except ValueError:
        raise RequestError(f"PROXY header of version 1 has a wrong address: {line!r}") from None
    if max(ports) > 0xFFFF:
        raise RequestError(f"PROXY header of version 1 has a wrong port: {line!r}")
    return Proxied((hosts[0], ports[0]), (hosts[1], ports[1]), rest)


def _version_2(buffer: bytearray) -> Proxied | None:
    """Parse the binary header (PROXY protocol §2.2); its TLVs are ignored."""
    _expect(buffer, _V2_START)
    if len(buffer) < _V2_FIXED:
        return None
    command, family, length = struct.unpack_from("!BBH", buffer, len(_V2_START))
    if command >> 4 != 2 or command & 0xF not in (_LOCAL, _PROXY):
        raise RequestError(
            f"PROXY header has version and command 0x{command:02x}, not 0x20 or 0x21"
        )
    layout = _LAYOUTS.get(family >> 4)
    if layout is None or family & 0xF > 2:
        raise RequestError(f"PROXY header has the unknown address family 0x{family:02x}")
    proxied = command & 0xF == _PROXY
    if proxied and length < layout.size:
        raise RequestError(
            f"PROXY header names {length} bytes, its addresses alone need {layout.size}"
        )
    end = _V2_FIXED + length
    if len(buffer) < end:
        return None
    rest = bytes(buffer[end:])
    if not proxied or family >> 4 == _UNSPECIFIED or family & 0xF == 0:
        return Proxied(None, None, rest)
    return _addresses(family >> 4, layout.unpack_from(buffer, _V2_FIXED), rest)


def _addresses(family: int, fields: tuple[bytes, ...], rest: bytes) -> Proxied:
    if family == _UNIX:
        path = fields[1].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
        return Proxied(None, (path, None), rest)
    source, target, source_port, target_port = fields
    client = str(ipaddress.ip_address(source)), int(source_port)
    return Proxied(client, (str(ipaddress.ip_address(target)), int(target_port)), rest)


def _expect(buffer: bytearray, start: bytes) -> None:
    """Raise `RequestError` unless `buffer` begins with `start`, or with part of it."""
    seen = buffer[: len(start)]
    if not start.startswith(seen):
        raise RequestError(
            f"connection begins with {bytes(seen)!r}, not with a PROXY header; have the proxy "
            "send one, or switch the PROXY protocol off"
        )
