"""The load that asks two paths by turns: what it sends, and what it counts for which."""

from __future__ import annotations

import asyncio
import json
import os
import time
from itertools import pairwise

import pytest

from bench.load.steady import TURN, Sides, main

END = b"\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
SLOW = 0.05


async def turns(answers: dict[str, bytes], seconds: float) -> list[str]:
    """The paths that were asked, in order, by two clients, 50 times a second."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                path = (await reader.readuntil(END)).split(b" ")[1].decode()
                asked.append(path)
                if path == "/slow":
                    await asyncio.sleep(SLOW)
                    time.sleep(0.001)  # what the process is charged for
                writer.write(answers.get(path, ANSWER))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await main(port, seconds, 4, 50, Sides(2, os.getpid(), ["/fast", "/slow"]))
    return asked


def test_paths_are_asked_by_turns(capsys: pytest.CaptureFixture[str]) -> None:
    """Each path has its own figures: answers, their p99, and the CPU time meanwhile."""
    asked = asyncio.run(turns({}, 8 * TURN))
    changes = [asked[0]] + [new for old, new in pairwise(asked) if new != old]
    # The warm-up, and then 1 2 2 1, twice.
    assert changes == ["/fast", "/slow"] * 2 + ["/fast", "/slow"] * 2 + ["/fast"]
    fast, slow = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert fast["requests"] + slow["requests"] < len(asked)  # those of the warm-up do not count
    assert slow["p99"] >= SLOW * 1e6 > 0
    assert fast["cpu"] > 0
    assert slow["cpu"] > 0
    assert fast["status"] == slow["status"] == 0


def test_answers_that_are_none_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """What is not answered with 200 is counted."""
    failed = ANSWER.replace(b"200 OK", b"500 No")
    asyncio.run(turns({"/slow": failed}, 4 * TURN))
    fast, slow = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert fast["status"] == 0
    assert slow["status"] == slow["requests"] > 0
