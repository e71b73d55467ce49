"""A load that is not what it says makes every figure wrong: what wrk sends and counts."""

from __future__ import annotations

import asyncio
import os
import re
import shutil

import pytest

from bench.load.generators import Load, wrk
from bench.load.requests import Request
from bench.peers.environments import Tools

pytestmark = pytest.mark.skipif(
    not (shutil.which("wrk") and shutil.which("taskset")), reason="needs wrk and taskset"
)
END = b"\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, world!"
BAD = GOOD.replace(b"world", b"World")


def load(request: Request, answers: dict[int, bytes], compare: bool) -> tuple[Load, list[bytes]]:
    """What wrk counted in a second, and the heads that it sent; `answers` by number, else good."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                heads.append(await reader.readuntil(END))
                writer.write(answers.get(len(heads), GOOD))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> Load:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            core = min(os.sched_getaffinity(0))
            return await asyncio.to_thread(wrk, port, request, 1.0, core, Tools(), compare)

    return asyncio.run(main()), heads


def test_heads_as_browsers_send_them() -> None:
    """12 fields in about 700 bytes; path, query, Referer, cookie and id come once."""
    counted, heads = load(Request("/items/", browser=True), {}, compare=False)
    assert counted.errors == ()
    assert counted.requests > 64
    for pattern in (
        rb"GET (/items/\d+)\?",
        rb"GET \S+\?(\S+) HTTP/1.1\r\n",
        rb"\r\nReferer: (\S+)\r\n",
        rb"\r\nCookie: ([^\r]+)\r\n",
        rb"\r\nX-Request-Id: (\w+)\r\n",
    ):
        found = [re.findall(pattern, head) for head in heads]
        assert {len(each) for each in found} == {1}, pattern
        assert len({each[0] for each in found}) == len(heads), pattern
    assert {len(head.split(b"\r\n")) - 3 for head in heads} == {12}
    assert all(650 < len(head) < 750 for head in heads)


def test_the_same_head_again_and_again() -> None:
    """Without the wish for a browser's heads each request is the same."""
    _, heads = load(Request(), {}, compare=False)
    assert len({*heads}) == 1


def test_wrong_answers_are_counted() -> None:
    """A body that is not the expected one is an error if answers are compared."""
    counted, _ = load(Request(), {3: BAD, 6: BAD}, compare=True)
    assert counted.errors == ("2 wrong answers",)


def test_answers_are_compared_only_if_asked() -> None:
    """To compare takes the load's time, so the load itself leaves it out."""
    counted, _ = load(Request(), {3: BAD}, compare=False)
    assert counted.errors == ()


def test_long_answers_are_compared_by_their_length() -> None:
    """A long body need not fit into the words of a command."""
    answer = bytes(200_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    request = Request(answer=answer)
    right, wrong = head % len(answer) + answer, head % 5 + answer[:5]
    counted, heads = load(request, dict.fromkeys(range(100_000), right) | {1: wrong}, compare=True)
    assert len(heads) > 1
    assert counted.errors == ("1 wrong answers",)
