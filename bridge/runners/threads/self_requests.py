"""Which clients are this very process: an app that sends requests to itself (W53).

A connection whose two ends are both sockets of this process is one that it has with itself. That
holds for any server, protocol and client library, and for no other connection. It cannot be seen
if a proxy or another process is in between.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from stat import S_ISSOCK

#: An end of a TCP connection: address and port.
End = tuple[str, int]

#: The descriptors of this process, as files (Linux, BSD and macOS).
_DESCRIPTORS = "/dev/fd"
_MAPPED = "::ffff:"


def self_connections(peers: Collection[End]) -> set[End]:
    """Return those of `peers`, far ends of connections, that are sockets of this process too."""
    if not peers:
        return set()
    wanted = {_unmapped(peer): peer for peer in peers}
    pairs = {pair for pair in map(_pair, _descriptors()) if pair is not None}
    return {wanted[here] for here, there in pairs if here in wanted and (there, here) in pairs}


def _unmapped(end: End) -> End:
    """`end`, with an IPv4-mapped IPv6 address as the IPv4 address."""
    return end[0].removeprefix(_MAPPED), end[1]


def _descriptors() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_DESCRIPTORS)]
    except OSError:  # this system has no such folder
        return []


def _pair(descriptor: int) -> tuple[End, End] | None:
    """Both ends of a TCP connection; None for any other descriptor."""
    try:
        if not S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        sock = socket.socket(fileno=descriptor)
    except OSError:  # closed meanwhile: another thread may do that
        return None
    try:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            return None
        return _unmapped(sock.getsockname()[:2]), _unmapped(sock.getpeername()[:2])
    except OSError:  # not connected
        return None
    finally:
        sock.detach()  # it is not ours to close
