"""A client of bytes: what it sends is what stands here."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: How long an answer may take that is expected, and one that may never come.
PATIENT, SHORT = 5.0, 1.0


class Client:
    """One connection. What is read is kept in `got`."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENT)
        self.got = b""
        self.ended = False

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, target: str, *fields: str, method: str = "GET") -> None:
        """Send the head of a request."""
        lines = [f"{method} {target} HTTP/1.1", "Host: probe", *fields, "", ""]
        self.send("\r\n".join(lines).encode())

    def until(self, end: bytes, seconds: float = PATIENT) -> bool:
        """Read until `end` is there; whether it came in that time."""
        deadline = time.monotonic() + seconds
        while end not in self.got and not self.ended:
            if not self._more(deadline):
                break
        return end in self.got

    def until_closed(self, seconds: float = PATIENT) -> bool:
        """Read until the server closes; whether it has in that time."""
        deadline = time.monotonic() + seconds
        while not self.ended and self._more(deadline):
            pass
        return self.ended

    def _more(self, deadline: float) -> bool:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(65_536)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        self.got += data
        self.ended = not data
        return True

    def fill(self, most: int, seconds: float) -> int:
        """Send as many bytes as are taken, up to `most`; how many were."""
        self.socket.settimeout(SHORT)
        sent, deadline, piece = 0, time.monotonic() + seconds, b"x" * 65_536
        while sent < most and time.monotonic() < deadline:
            try:
                sent += self.socket.send(piece)
            except OSError:
                break
        return sent

    def statuses(self) -> list[int]:
        """The statuses of all responses that begin a line in what was read."""
        parts = self.got.split(b"HTTP/1.1 ")[1:]
        return [int(part[:3]) for part in parts if part[:3].isdigit()]

    def leave(self) -> None:
        """Go as a client does that is gone: by a reset."""
        with suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()


@contextmanager
def connected(port: int) -> Iterator[Client]:
    client = Client(port)
    try:
        yield client
    finally:
        client.socket.close()


def answered(port: int, target: str, *fields: str, body: bytes = b"", end: bytes = b"") -> Client:
    """Ask for one thing, on a connection that closes after it, or once `end` has come."""
    with connected(port) as client:
        method = "POST" if body else "GET"
        client.get(target, "Connection: close", *fields, method=method)
        client.send(body)
        if end:
            client.until(end)
        else:
            client.until_closed()
        return client
