"""A datagram socket that stands for systemd's: what a service tells it."""

from __future__ import annotations

import socket


class Systemd:
    """The end of systemd's: what has been told, in order."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1))
        self.socket.settimeout(30)

    def hear(self) -> str:
        """The next message."""
        return self.socket.recv(4096).decode()

    def hear_all(self) -> list[str]:
        """What has come so far."""
        heard = []
        self.socket.setblocking(False)
        try:
            while True:
                heard.append(self.hear())
        except BlockingIOError:
            self.socket.settimeout(30)
            return heard

    def until(self, wanted: str) -> list[str]:
        """What is heard, up to `wanted`."""
        heard = [self.hear()]
        while heard[-1] != wanted:
            heard.append(self.hear())
        return heard
