"""Connections that begin with a PROXY header, on a real transport (S30)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from bridge.server.http1.proxied import ProxiedConnection
from bridge.server.http1.timeouts import HEAD, IDLE
from bridge.types import Receive, Scope, Send
from tests.support.in_loop import InLoop, bytewise, in_loop
from tests.support.raw import parse_responses, request

HEADER = b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 443\r\n"
LAST = request("/", "Connection: close")
NAMED = {"client": ["203.0.113.9", 51234], "server": ["198.51.100.1", 443]}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell both addresses."""
    body = json.dumps({name: scope[name] for name in ("client", "server")}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def server() -> Iterator[InLoop]:
    with in_loop(app, ProxiedConnection, proxy_protocol_allow_ips="unix") as server:
        yield server


@pytest.mark.parametrize(
    "pieces",
    [
        [HEADER + LAST],
        [HEADER, LAST],
        bytewise(HEADER + LAST),
        [HEADER + request("/")[:9], request("/")[9:] + LAST],
    ],
    ids=["whole", "apart", "bytewise", "half a head"],
)
def test_addresses(server: InLoop, pieces: list[bytes]) -> None:
    """S30: the client and the server are those of the header, in whatever pieces it comes."""
    answers = parse_responses(server.talk(pieces))
    assert answers
    assert all(json.loads(answer.body) == NAMED for answer in answers)


def test_a_proxy_that_speaks_for_itself(server: InLoop) -> None:
    """S30: the addresses of the socket hold if the header names none."""
    (answer,) = parse_responses(server.talk([b"PROXY UNKNOWN\r\n" + LAST]))
    assert json.loads(answer.body)["client"] is None


@pytest.mark.parametrize("begin", [LAST, b"PROXY TCP9 x\r\n"])
def test_anything_else_is_cut(server: InLoop, begin: bytes) -> None:
    """S30: without a header, or with one that is wrong, there is no answer."""
    assert server.talk([begin, LAST]) == b""


def test_a_proxy_that_is_not_named() -> None:
    """S30: a header is taken from the proxies that are named, and from nobody else."""
    with in_loop(app, ProxiedConnection, proxy_protocol_allow_ips="10.9.9.9") as server:
        assert server.talk([HEADER + LAST]) == b""


def test_one_too_many() -> None:
    """S2, S30: a connection above the limit is refused before anything is read."""
    with in_loop(
        app, ProxiedConnection, proxy_protocol_allow_ips="unix", limit_connections=1
    ) as server:
        talk = server.run(server.open())
        answer = server.talk([HEADER + LAST])
        assert re.match(rb"HTTP/1.1 503 ", answer)
        talk.protocol.shutdown(at_once=True)
        assert server.run(talk.end()) == b""
        talk.sock.close()


def test_the_phases(server: InLoop) -> None:
    """S2: behind its header a connection is idle until a head begins."""
    talk = server.run(server.open())
    server.run(talk.send(HEADER))
    assert talk.protocol.phase == IDLE
    server.run(talk.send(b"GET"))
    assert talk.protocol.phase == HEAD
    assert server.run(talk.end()) == b""
    talk.sock.close()
