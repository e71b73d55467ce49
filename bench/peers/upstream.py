"""What the apps of the scenario "waiting" wait for: ``python -m bench.peers.upstream PORT``.

It answers each request after `WAIT` seconds, and costs little: it looks for the end of a head only.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop

#: Seconds for which each request waits; Redis waits as long.
WAIT = 0.01
ANSWER = (
    b"HTTP/1.1 200 OK\r\nserver: upstream\r\ndate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    b"content-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!"
)


class Upstream(asyncio.Protocol):
    transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.loop.call_later(WAIT, self.transport.write, ANSWER)


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(
        Upstream, "127.0.0.1", port, backlog=4_096
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
