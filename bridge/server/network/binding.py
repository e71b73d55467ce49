"""Make a bound socket listen, and explain why one cannot be bound (S30)."""

from __future__ import annotations

import errno
import socket

from bridge.errors import ConfigError


def listen(sock: socket.socket, backlog: int) -> socket.socket:
    """Make `sock`, which is bound, a non-blocking listening socket."""
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


_ADVICE = {
    errno.EADDRINUSE: (
        "another process listens there; stop it (`ss -ltnp` or `lsof -i` names it), or choose "
        "another address with --port or --bind"
    ),
    errno.EACCES: (
        "not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE, a socket's directory "
        "must be writable; choose another with --port or --bind"
    ),
    errno.EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 means all that it has",
    errno.EAFNOSUPPORT: "this machine does not support that family of addresses",
    errno.ENOENT: "its directory does not exist; make it first",
    errno.EROFS: "its directory is read-only; choose another with --bind",
}


def cannot_bind(spec: str, error: OSError) -> ConfigError:
    """Make the error for an address that the system refuses; it says what to do."""
    advice = _ADVICE.get(error.errno or 0, error.strerror or str(error))
    return ConfigError(f"cannot listen on {spec}: {advice}")
