"""Requests that come again: looked up as a whole, and answered like the first (S3, S13)."""

from __future__ import annotations

import pytest

from bridge.errors import RequestError
from bridge.server.http1.parser import SHORT, HeadParser
from tests.conftest import StartHost
from tests.support.hosts import bridge
from tests.support.raw import Client, request

SPOILING = "tests.support.apps.spoiling"
REQUESTS = {
    "plain": request("/a%20b?c=%20d"),
    "browser": request("/", "Connection: keep-alive", "Accept: text/html", "X-A: 1", "x-a: 2"),
    "body": request("/", "Content-Length: 4", method="POST") + b"body",
    "HEAD, then GET": request("/", method="HEAD") + request("/"),
    "absolute": b"GET http://other:81/x HTTP/1.1\r\nHost: ignored\r\n\r\n",
    "HTTP/1.0": b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
}


def parser() -> HeadParser:
    return HeadParser(8192, 65536, 100)


@pytest.mark.parametrize("app", ["asgi", "wsgi", "inline", "greenlet"])
@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
def test_the_same_each_time(shared_host: StartHost, app: str, data: bytes) -> None:
    """S3, S13, W10: what an app does to its scope or environ does not reach the next request."""
    host = shared_host(bridge(f"{SPOILING}:{app}", "--no-access-log"))
    heads = data.count(b"HTTP/1.")
    with Client(host.connect()) as client:
        first = told(client, data, heads)
        for _ in range(4):
            assert told(client, data, heads) == first
    with Client(host.connect()) as other:
        assert told(other, data, heads) == first


def told(client: Client, data: bytes, heads: int) -> list[bytes]:
    client.send(data)
    head_only = [data.startswith(b"HEAD"), *[False] * (heads - 1)]
    responses = [client.response("HEAD" if each else "GET") for each in head_only]
    assert {response.status for response in responses} == {200}
    return [response.body for response in responses]


def test_the_same_bytes() -> None:
    """S3: the same head means the same each time, also when it is looked up as a whole."""
    heads, data = parser(), request("/remembered-head")
    requests = [heads.parse(data) for _ in range(4)]
    told = [(each.method, each.target, each.headers) for each in requests]
    assert told == [told[0]] * 4
    assert heads.cached_heads[data] is requests[-1]


@pytest.mark.parametrize(
    "data",
    [
        request("/", "Cookie: a=b"),
        request("/", "Authorization: Basic eA=="),
        request("/", "X-Forwarded-For: 1.2.3.4"),
        request("/" + SHORT * "a"),
    ],
    ids=["cookie", "password", "a proxy's word", "long"],
)
def test_what_is_not_kept(data: bytes) -> None:
    """S3, S32: secrets, what depends on the connection, and long heads are read each time."""
    heads = parser()
    for _ in range(4):
        heads.parse(data)
    assert not heads.cached_heads


def test_so_many_are_kept() -> None:
    """S2: whatever clients send, only so many heads are kept."""
    heads = parser()
    for number in range(3 * HeadParser.HEADS):
        for _ in range(3):
            heads.parse(request(f"/{number}"))
    assert 0 < len(heads.cached_heads) <= heads.cached_heads.size


@pytest.mark.parametrize("other", ["X-A: 1\r\nHost: y", "Transfer-Encoding: chunked, gzip"])
def test_known_lines_make_no_bad_head_good(other: str) -> None:
    """S3: a head that breaks a rule is refused each time, whatever of it is known."""
    heads, bad = parser(), request("/", other)
    for _ in range(4):
        heads.parse(request("/", "X-A: 1"))
        with pytest.raises(RequestError):
            heads.parse(bad)
    assert bad not in heads.cached_heads


def test_blank_lines_between_requests(shared_host: StartHost) -> None:
    """S3: a few blank lines before a request are ignored, however many requests there are."""
    host = shared_host(bridge(f"{SPOILING}:asgi", "--no-access-log"))
    with Client(host.connect()) as client:
        for _ in range(10):
            client.send(b"\r\n")
            assert client.get("/").status == 200
            client.send_pieces([request("/"), b"\r\n"], pause=0.02)
            assert client.response().status == 200
