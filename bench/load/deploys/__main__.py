"""The clients' process: ``python -m bench.load.deploys PORT MIXTURE`` (a `Mixture` as JSON).

A line ``ending`` on standard input says that the server is about to be told to go; ``stop``, or the
end of the input, that the clients are to. It prints ``ready`` when all have an answer, and at the
end one line of JSON (`Outcome`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import ssl
import sys
from contextlib import suppress
from time import monotonic

from bench.load.deploys.clients import Board
from bench.load.deploys.mixture import Mixture, join

try:
    from uvloop import run
except ImportError:
    from asyncio import run

#: Seconds for the last answers.
GOING_HOME = 20.0


async def main(port: int, mixture: Mixture) -> None:
    board = Board("127.0.0.1", port, ssl._create_unverified_context() if mixture.tls else None)
    loop = board.loop
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    join(board, mixture)
    started = monotonic()
    board.check()
    for client in board.clients:
        client.connect()
    print("ready", flush=True)
    while (order := await orders.readline()) not in (b"stop\n", b""):
        if order == b"ending\n":
            board.ending = True
            print("ending", flush=True)
    board.outcome.seconds = monotonic() - started
    board.stopping = True
    for client in board.clients:
        if not client.begun and client.transport is not None:
            client.leave()
    with suppress(TimeoutError):
        async with asyncio.timeout(GOING_HOME):
            await board.all_home.wait()
    print(json.dumps(dataclasses.asdict(board.outcome)), flush=True)


if __name__ == "__main__":
    run(main(int(sys.argv[1]), Mixture(**json.loads(sys.argv[2]))))
