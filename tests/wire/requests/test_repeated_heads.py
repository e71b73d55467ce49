"""Requests that come again: told apart by the bytes of the whole head, answered like the first."""

from __future__ import annotations

import weakref

import pytest

from bridge.errors import RequestError
from bridge.server.http1.parser import HeadParser
from bridge.server.http1.reader import Reader
from bridge.server.request import Request
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
    "forwarded": request("/", "X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https"),
}


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


class Owner:
    """Keeps the requests that its reader tells of, and at the first fault reads no more."""

    def __init__(self) -> None:
        self.reader = Reader(HeadParser(8192, 65536, 100), self)
        self.requests: list[Request] = []
        self.status = 0

    def on_request(self, request: Request, head: bytes) -> None:
        self.requests.append(request)
        self.reader.take_body()

    def on_body(self, data: bytes, last: bool) -> None:
        raise AssertionError("each body has come with its head")

    def on_fault(self, error: RequestError, begin: bytes) -> None:
        self.status = error.status
        self.reader.stop()


@pytest.mark.parametrize(
    "head",
    [
        request("/again", "Cookie: a=b"),
        request("/again", "X-Long: " + "a" * 4000),
        request("/again", "Content-Length: 0", method="POST"),
    ],
)
def test_the_same_bytes(head: bytes) -> None:
    """S3: a head that comes again behind itself is not read again, and means the same."""
    owner = Owner()
    for _ in range(3):
        owner.reader.feed(head)
    first, *others = owner.requests
    assert [each is first for each in others] == [True, True]
    assert (first.target, first.repeated) == (b"/again", True)


@pytest.mark.parametrize("other", [request("/other"), request("/again", "Cookie: a=c")])
def test_other_bytes(other: bytes) -> None:
    """S3: a head that differs in one byte from the last is another request."""
    owner, head = Owner(), request("/again", "Cookie: a=b")
    for data in (head, other, head, other, other):
        owner.reader.feed(data)
    assert [each.repeated for each in owner.requests] == [False, False, False, True, True]
    assert owner.requests[3] is owner.requests[4]
    assert owner.requests[0] is not owner.requests[2]


def test_a_head_that_is_forgotten() -> None:
    """S2: of a client that is idle nothing is kept, secrets neither; its head is read anew."""
    owner, head = Owner(), request("/again")
    owner.reader.feed(head)
    owner.reader.forget_head()
    owner.reader.feed(head)
    first, second = owner.requests
    assert first is not second
    assert not second.repeated


def test_a_reader_that_has_stopped_keeps_no_head() -> None:
    """S2: of what was a request before a WebSocket, or before the end, nothing is kept."""
    owner = Owner()
    owner.reader.feed(request("/", "Cookie: secret"))
    kept = weakref.ref(owner.requests.pop())
    assert kept() is not None
    owner.reader.stop()
    assert kept() is None


def test_no_connection_knows_the_head_of_another() -> None:
    """S3, S32: what is kept of a head is its own connection's."""
    one, two = Owner(), Owner()
    for owner in (one, two):
        owner.reader.feed(request("/", "Cookie: secret"))
    assert one.requests[0] is not two.requests[0]
    assert not two.requests[0].repeated


@pytest.mark.parametrize("other", ["X-A: 1\r\nHost: y", "Transfer-Encoding: chunked, gzip"])
def test_a_good_head_makes_no_bad_one_good(other: str) -> None:
    """S3: a head that breaks a rule is refused, whatever of it was in the one before it."""
    owner = Owner()
    for _ in range(2):
        owner.reader.feed(request("/", "X-A: 1"))
    owner.reader.feed(request("/", other))
    assert (len(owner.requests), owner.status >= 400) == (2, True)


def test_blank_lines_between_requests(shared_host: StartHost) -> None:
    """S3: a few blank lines before a request are ignored, however many requests there are."""
    host = shared_host(bridge(f"{SPOILING}:asgi", "--no-access-log"))
    with Client(host.connect()) as client:
        for _ in range(10):
            client.send(b"\r\n")
            assert client.get("/").status == 200
            client.send_pieces([request("/"), b"\r\n"], pause=0.02)
            assert client.response().status == 200
