"""Make a bound socket listen, and explain why one cannot be bound (S30)."""

from __future__ import annotations

import errno
import socket

from bridge.errors import ConfigError
from bridge.server.network.holders import holder


def listen(sock: socket.socket, backlog: int) -> socket.socket:
    """Make `sock`, which is bound, a non-blocking listening socket."""
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


#: For TCP and for Unix sockets: what is wrong, and what to do.
_TCP = {
    errno.EADDRINUSE: (
        "another process listens there{holder}; stop it (`ss -ltnp` or `lsof -i` names it), or "
        "choose another address with --port or --bind (--port 0 takes a free one)"
    ),
    errno.EACCES: (
        "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE (in a unit of systemd "
        "AmbientCapabilities=CAP_NET_BIND_SERVICE); or choose one above, as --port 8000, with a "
        "proxy before it"
    ),
    errno.EADDRNOTAVAIL: (
        "this machine has no such address; `ip address` or `ifconfig` lists what it has; 0.0.0.0 "
        "means all of them, 127.0.0.1 (for this machine only) is always there"
    ),
    errno.EAFNOSUPPORT: (
        "this machine does not support that family of addresses; choose one of another, as "
        "127.0.0.1 (IPv4) or ::1 (IPv6), with --host or --bind"
    ),
}
_UNIX = {
    errno.EADDRINUSE: (
        "another process listens there; stop it (`ss -lxp` or `lsof -U` names it), or choose "
        "another path with --bind"
    ),
    errno.EACCES: (
        "not permitted; this user must be able to write to the socket's directory: choose another "
        "path with --bind, or change the directory's owner"
    ),
    errno.ENOENT: "its directory does not exist; make it first",
    errno.EROFS: "its directory is read-only; choose another with --bind",
}


def cannot_bind(spec: str, error: OSError) -> ConfigError:
    """Make the error for an address that the system refuses; it says what to do."""
    number = error.errno or 0
    if spec.startswith("unix:"):
        advice = _UNIX.get(number)
    else:
        found = holder(spec.rpartition(":")[2]) if number == errno.EADDRINUSE else ""
        advice = _TCP[number].format(holder=found) if number in _TCP else None
    advice = advice or f"{error.strerror or error}; choose another address with --bind"
    return ConfigError(f"cannot listen on {spec}: {advice}")
