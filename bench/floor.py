"""The floor: a uvloop protocol that answers fixed bytes to whatever it reads.

It parses nothing and knows no app, so no server on the same loop can be below it.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

ANSWER = (
    b"HTTP/1.1 200 OK\r\nserver: floor\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"content-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!"
)


class Floor(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)  # type: ignore[attr-defined]


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
