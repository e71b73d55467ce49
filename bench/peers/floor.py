"""The floor: a uvloop protocol that answers fixed bytes to whatever it reads.

It parses nothing but the first letter of the path, and knows no app, so no server on the same loop
can be below it. What it streams it streams as well as we know how: nothing is copied, it heeds
back-pressure, and gives way to other connections between two pieces.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

from bench.apps import large, stream

_HEAD = (
    b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"content-type: text/plain\r\n"
)
ANSWER = _HEAD + b"content-length: 13\r\n\r\nHello, world!"
LARGE = _HEAD + b"content-length: %d\r\n\r\n" % len(large.BODY)
STREAM = _HEAD + b"transfer-encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n" % len(stream.PIECE)


class Floor(asyncio.Protocol):
    transport: asyncio.WriteTransport
    paused = False
    left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        which = data[5]
        if which == 108:  # "GET /large"
            self.transport.writelines((LARGE, large.BODY))
        elif which == 115:  # "GET /stream"
            self.left = stream.COUNT
            self.transport.write(STREAM)
            self.go_on()
        else:
            self.transport.write(ANSWER)

    def go_on(self) -> None:
        if self.paused or not self.left or self.transport.is_closing():
            return
        self.left -= 1
        self.transport.writelines((CHUNK, stream.PIECE, b"\r\n"))
        if self.left:
            self.loop.call_soon(self.go_on)
        else:
            self.transport.write(b"0\r\n\r\n")

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.go_on()


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
