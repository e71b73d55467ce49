"""What the server answers itself: GET and HEAD, and no line in a log (O1, O2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bridge.server.config import Config
from bridge.server.http1.factory import connection_factory
from bridge.server.logs.access_log import AccessLog
from bridge.server.operations.answers import Answer, OwnHandler, as_document, in_words
from bridge.server.state import RETIRING, ServerState
from tests.support.raw import parse_responses, request


class _Log(AccessLog):
    """Notes each request that is over."""

    def __init__(self) -> None:
        self.timed = False
        self.lines: list[Any] = []

    def __call__(self, record: Any) -> None:
        self.lines.append(record)


async def talk(answers: dict[str, Callable[[], Answer]], *sent: bytes, phase: int = 0) -> bytes:
    """One connection to a handler with these answers; everything that came back."""
    loop = asyncio.get_running_loop()
    state = ServerState(Config(limit_requests=1, timeout_keep_alive=0), loop)
    state.active.add(_Running())
    log = _Log()
    state.use_access_log(log)
    state.enter_stop(phase)
    handler = OwnHandler(answers)
    server = await loop.create_server(connection_factory(state, handler, handler), "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for piece in sent:
            writer.write(piece)
        writer.write_eof()
        data = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert log.lines == []
    return data


class _Running:
    """A request that keeps the one place that there is."""

    response_state = 0


ANSWERS = {"/yes": lambda: in_words(200, "yes"), "/doc": lambda: as_document("text/x", "é\ud800")}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/yes", 200, b"OK: yes\n"),
        ("GET", "/yes?x=1", 200, b"OK: yes\n"),
        ("GET", "/doc", 200, "é?".encode()),
        ("GET", "/no", 404, b"Not Found\n"),
        ("POST", "/yes", 405, b"Method Not Allowed\n"),
    ],
)
def test_answers(method: str, path: str, status: int, body: bytes) -> None:
    """O1 O2: also if as many requests run as may; HEAD has the same head and no body."""
    data = asyncio.run(talk(ANSWERS, request(path, method=method)))
    (response,) = parse_responses(data, [method])
    assert (response.status, response.body) == (status, body)
    fields = dict(response.fields)
    assert fields.get(b"allow") == (b"GET, HEAD" if status == 405 else None)
    if method == "GET":
        (head,) = parse_responses(
            asyncio.run(talk(ANSWERS, request(path, method="HEAD"))), ["HEAD"]
        )
        assert (head.status, head.body) == (status, b"")
        assert dict(head.fields)[b"content-length"] == fields[b"content-length"]


def test_several_on_one_connection() -> None:
    """O1: the connection stays open for the next, whatever has been asked; a body is skipped."""
    body = request("/yes", method="POST", body=b"abc")
    data = asyncio.run(talk(ANSWERS, request("/yes"), body, request("/doc")))
    responses = parse_responses(data, ["GET", "POST", "GET"])
    assert [each.status for each in responses] == [200, 405, 200]


def test_a_server_that_stops() -> None:
    """O1: it is the last answer on its connection."""
    data = asyncio.run(talk(ANSWERS, request("/yes"), phase=RETIRING))
    (response,) = parse_responses(data, ["GET"])
    assert (b"connection", b"close") in response.fields
