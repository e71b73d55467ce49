"""WebSocket echo load: ``python -m bench.load.websocket PORT SECONDS CONNECTIONS``.

Frames are made once and compared as bytes, so that the generator is faster than any server that
parses them. Prints the figures as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop

TEXT = b"Hello, world! Hello, websocket!!"
MASK = b"\x01\x02\x03\x04"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PING, PONG = 0x89, 0x8A


def masked(first: int, payload: bytes) -> bytes:
    """A client's frame of at most 125 bytes (RFC 6455, section 5.2)."""
    body = bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))
    return bytes((first, 0x80 | len(payload))) + MASK + body


MESSAGE = masked(0x81, TEXT)
ECHO = bytes((0x81, len(TEXT))) + TEXT


class Client(asyncio.Protocol):
    """One connection: handshake, then a message for every echo."""

    def __init__(self) -> None:
        self.count = self.wrong = 0
        self.over = False
        self.unread = b""
        self.open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(HANDSHAKE)

    def data_received(self, data: bytes) -> None:
        if data == ECHO and not self.unread and self.open.done():
            self.count += 1
            self.transport.write(MESSAGE)
        elif self.open.done():
            self.read_frames(data)
        else:
            self.read_handshake(data)

    def read_handshake(self, data: bytes) -> None:
        self.unread += data
        head, end, rest = self.unread.partition(b"\r\n\r\n")
        if end:
            self.unread = rest
            self.open.set_result(head.startswith(b"HTTP/1.1 101 "))

    def read_frames(self, data: bytes) -> None:
        """The slow way: frames in pieces, pings, and what must not come."""
        self.unread += data
        while len(self.unread) >= 2 and len(self.unread) >= 2 + self.unread[1]:
            size = 2 + self.unread[1]
            frame, self.unread = self.unread[:size], self.unread[size:]
            if frame == ECHO:
                self.count += 1
                self.transport.write(MESSAGE)
            elif frame[0] == PING:
                self.transport.write(masked(PONG, frame[2:]))
            else:
                self.wrong += 1

    def connection_lost(self, error: Exception | None) -> None:
        self.wrong += not self.over
        if not self.open.done():
            self.open.set_result(False)


async def main(port: int, seconds: float, connections: int) -> None:
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        clients.append((await loop.create_connection(Client, "127.0.0.1", port))[1])
    if not all(await asyncio.gather(*(client.open for client in clients))):
        raise SystemExit("the server refused a WebSocket handshake")
    started = time.perf_counter()
    for client in clients:
        client.transport.write(MESSAGE)
    await asyncio.sleep(seconds)
    took = time.perf_counter() - started
    for client in clients:
        client.over = True
        client.transport.close()
    figures = {
        "requests": sum(client.count for client in clients),
        "microseconds": round(took * 1e6),
        "wrong": sum(client.wrong for client in clients),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
