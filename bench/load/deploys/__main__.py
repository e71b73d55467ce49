"""The clients' process: ``python -m bench.load.deploys PORT [--asgi MOUNT] [--wsgi MOUNT]``.

A line ``ending`` on standard input says that the server is about to be told to go; ``stop``, or the
end of the input, that the clients are to. It prints ``ready`` when all have an answer, and at the
end one line of JSON (`Outcome`).
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import sys
from contextlib import suppress
from time import monotonic

from bench.load.deploys import mixture
from bench.load.deploys.clients import Board

try:
    from uvloop import run
except ImportError:
    from asyncio import run

#: Seconds for the last answers.
GOING_HOME = 20.0


async def main(options: argparse.Namespace) -> None:
    board = Board("127.0.0.1", options.port)
    loop = board.loop
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    mixture.join(board, options.asgi, options.wsgi, options.clients, options.pace)
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
    parser = argparse.ArgumentParser(prog="python -m bench.load.deploys")
    parser.add_argument("port", type=int)
    parser.add_argument("--asgi", metavar="MOUNT")
    parser.add_argument("--wsgi", metavar="MOUNT")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--pace", type=float, default=0, help="the longest pause of fast clients")
    run(main(parser.parse_args()))
