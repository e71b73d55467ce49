"""Why an address cannot be bound, and what to do."""

from __future__ import annotations

import errno
import os

import pytest

from bridge.server.network.binding import cannot_bind


@pytest.mark.parametrize(
    ("spec", "number", "said"),
    [
        ("127.0.0.1:1", errno.EADDRINUSE, "another process listens there; stop it (`ss -ltnp` or"),
        ("unix:/x", errno.EADDRINUSE, "another process listens there; stop it (`ss -lxp` or"),
        ("0.0.0.0:80", errno.EACCES, "not permitted; ports below 1024 need root or CAP_NET_BIND_"),
        ("unix:/x", errno.EACCES, "not permitted; this user must be able to write to the socket's"),
        ("192.0.2.1:80", errno.EADDRNOTAVAIL, "this machine has no such address; `ip address` or"),
        ("[::1]:80", errno.EAFNOSUPPORT, "this machine does not support that family of addresses;"),
        ("unix:/no/x", errno.ENOENT, "its directory does not exist; make it first"),
        ("unix:/ro/x", errno.EROFS, "its directory is read-only; choose another with --bind"),
        ("unix:/x", errno.EIO, f"{os.strerror(errno.EIO)}; choose another address with --bind"),
        ("1.2.3.4:5", errno.EIO, f"{os.strerror(errno.EIO)}; choose another address with --bind"),
    ],
)
def test_each_reason_has_its_advice(spec: str, number: int, said: str) -> None:
    """S30: what is wrong, and what to do for an address of that kind."""
    error = cannot_bind(spec, OSError(number, os.strerror(number)))
    assert str(error).startswith(f"cannot listen on {spec}: {said}")
