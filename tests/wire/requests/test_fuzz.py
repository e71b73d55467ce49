"""Anything may come over a connection, in any pieces: never two readings, never a crash (S3)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.types import Receive, Scope, Send
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.support.apps import echo
from tests.support.corpus import cases
from tests.support.in_loop import InLoop, Talk, in_loop
from tests.support.raw import Closed, Response, Source, chunked, parse_responses, request

#: Connections that are not too long to be put together and cut in many ways.
PARTS = [case.data for case in cases() if len(case.data) < 400]
GOOD = [
    request("/a"),
    request("/b", method="HEAD"),
    request("/c", method="POST", body=b"GET /smuggled HTTP/1.1\r\n\r\n"),
    request("/d", "Transfer-Encoding: chunked", method="POST") + chunked(b"0\r\n\r\n", b"x"),
    request("/e", "Expect: 100-continue", method="PUT", body=b"12345"),
    b"GET /f HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"\r\n" + request("/g"),
]
APPS = {"asgi": echo.app, "inline": WsgiToAsgi(echo.wsgi_app, runner="inline")}


@pytest.fixture(scope="module", params=sorted(APPS))
def server(request: pytest.FixtureRequest) -> Iterator[InLoop]:
    with in_loop(APPS[request.param]) as server:
        yield server


def outcomes(answer: bytes) -> list[tuple[int, bytes | None]]:
    """Status and what the app saw, of each response."""
    source = Source(answer)
    found = []
    while source.data:
        head = bytes(source.data).partition(b"\r\n\r\n")[0]
        # A HEAD has no body; the refusal of what begins like one neither.
        bare = b"\r\nx-saw: HEAD " in head.lower().replace(b"head", b"HEAD")
        bare = bare or head.endswith(bytes(source.data).rstrip(b"\r\n"))
        response = source.response("HEAD" if bare else "GET")
        found.append((response.status, response.value(b"x-saw")))
    return found


def in_pieces(data: bytes, places: list[int]) -> list[bytes]:
    """`data` cut at these places."""
    edges = [0, *sorted(place for place in places if place < len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


#: Requests that are read only when those before them are answered, and then have been cut off.
CUT = [request("/h", method="POST", body=b"x" * 50)[:-20], request("/i")[:-9]]

streams = st.one_of(
    st.lists(st.sampled_from(GOOD), max_size=5),
    st.lists(st.sampled_from(GOOD + PARTS), max_size=5),
    st.lists(st.sampled_from(GOOD) | st.binary(max_size=30), max_size=5),
    st.tuples(st.sampled_from(GOOD), st.sampled_from(GOOD), st.sampled_from(CUT)),
).map(b"".join)


@settings(max_examples=250)
@given(data=streams, places=st.lists(st.integers(1, 400), max_size=12))
def test_pieces_do_not_matter(server: InLoop, data: bytes, places: list[int]) -> None:
    """S3: any sequence of requests, good and bad, has the same answers in any pieces."""
    whole = outcomes(server.talk([data]))
    assert outcomes(server.talk(in_pieces(data, places))) == whole
    refused = [status for status, saw in whole if saw is None]
    assert len(refused) <= 1
    assert not refused or whole[-1][1] is None
    assert not any(saw and b" /smuggled " in saw[:20] for _, saw in whole)


@settings(max_examples=250)
@given(
    part=st.sampled_from(GOOD + PARTS),
    noise=st.binary(max_size=8),
    at=st.integers(0, 400),
    drop=st.integers(0, 8),
)
def test_changed_bytes(server: InLoop, part: bytes, noise: bytes, at: int, drop: int) -> None:
    """S3: with a few bytes changed, the answers are the same whole and byte by byte."""
    data = part[:at] + noise + part[at + drop :]
    whole = outcomes(server.talk([data]))
    assert outcomes(server.talk([data[i : i + 1] for i in range(len(data))])) == whole


# ------------------------------------------------------------- one connection, step by step


class Held:
    """An app whose answers wait for the test: each request is asked for by its number."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Event] = {}
        self.running = 0
        self.most = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.answer(scope, receive, send)
        except OSError:
            pass
        finally:
            self.running -= 1

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind, _, number = scope["path"].lstrip("/").partition("-")
        size, more = 0, kind != "unread"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            size += len(message["body"])
            more = message["more_body"]
        if kind == "held":
            event = self.waiting[number] = asyncio.Event()
            await event.wait()
        text = json.dumps([number, size]).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if kind == "stream":
            await send({"type": "http.response.body", "body": text[:1], "more_body": True})
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": text[1:], "more_body": True})
            await send({"type": "http.response.body"})
        else:
            await send({"type": "http.response.body", "body": text})


class Conversation(RuleBasedStateMachine):
    """A client and the server on one connection; the server must keep HTTP/1.1 whatever comes."""

    server: InLoop
    app: Held

    def __init__(self) -> None:
        super().__init__()
        self.app = Held()
        self.server = InLoop(self.app)
        self.talk: Talk
        self.asked: list[tuple[int, int | None]] = []
        self.refusing = self.ended = False

    def teardown(self) -> None:
        try:
            if not self.ended:
                self.finish()
        finally:
            self.talk.sock.close()
            self.server.close()

    @initialize()
    def connect(self) -> None:
        self.talk = self.server.run(self.server.open())

    def send(self, data: bytes, cut: int = 0) -> None:
        async def sending() -> None:
            for piece in (data[:cut], data[cut:]):
                if piece and not self.refusing:
                    await self.turns(2)
                    if self.talk.transport.is_reading():
                        await self.talk.send(piece)
                    else:
                        self.later(piece)

        self.server.run(sending())

    def later(self, piece: bytes) -> None:
        """The server does not read now: a kernel would keep the bytes; so does the socket."""
        self.talk.sock.sendall(piece)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await self.talk.turn()

    def ask(self, kind: str, length: int | None) -> str:
        self.asked.append((len(self.asked), length))
        return f"/{kind}-{len(self.asked) - 1}"

    open_ = precondition(lambda self: not (self.refusing or self.ended))

    @open_
    @rule(kind=st.sampled_from(["plain", "held", "stream", "unread"]), cut=st.integers(0, 60))
    def get(self, kind: str, cut: int) -> None:
        self.send(request(self.ask(kind, 0)), cut)

    @open_
    @rule(
        kind=st.sampled_from(["plain", "held", "stream", "unread"]),
        size=st.integers(1, 3000),
        cut=st.integers(0, 3200),
    )
    def post(self, kind: str, size: int, cut: int) -> None:
        target = self.ask(kind, None if kind == "unread" else size)
        self.send(request(target, method="POST", body=b"G" * size), cut)

    @open_
    @rule(chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=5), cut=st.integers(0, 200))
    def post_chunks(self, chunks: list[bytes], cut: int) -> None:
        target = self.ask("plain", sum(map(len, chunks)))
        head = request(target, "Transfer-Encoding: chunked", method="POST")
        self.send(head + chunked(*chunks), cut)

    @open_
    @rule(bad=st.sampled_from([b"\0", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nX : y\r\n\r\n"]))
    def break_a_rule(self, bad: bytes) -> None:
        self.send(bad)
        self.refusing = True

    @rule()
    def release(self) -> None:
        for event in self.app.waiting.values():
            event.set()
        self.app.waiting.clear()
        self.server.run(self.turns(4))

    @rule(now=st.floats(0, 5))
    def sweep(self, now: float) -> None:
        """The clock ticks, within all limits of time."""
        if not self.ended:
            self.talk.protocol.check_timeouts(self.server.loop.time() + now)

    @precondition(lambda self: not self.ended)
    @rule()
    def finish(self) -> None:
        """FIN: everything that was asked whole is answered, then the connection ends."""
        self.ended = True

        async def ending() -> None:
            self.talk.sock.shutdown(1)
            for _ in range(2000):
                for event in self.app.waiting.values():
                    event.set()
                if self.talk.ended:
                    return
                await self.talk.turn()
            raise AssertionError(f"no end after {bytes(self.talk.answer)!r:.1000}")

        self.server.run(ending())
        answers, rest = self.answers()
        assert rest == b""
        good = [answer for answer in answers if answer.status == 200]
        assert len(good) == len(self.asked)
        assert [answer.status for answer in answers[len(good) :]] == [400] * self.refusing

    def answers(self) -> tuple[list[Response], bytes]:
        """All whole responses so far, and the beginning of the next."""
        source, found = Source(bytes(self.talk.answer)), []
        rest = bytes(source.data)
        try:
            while source.data:
                found.append(source.response())
                rest = bytes(source.data)
        except Closed:
            pass
        return found, rest

    @invariant()
    def in_order_and_once(self) -> None:
        """S3: answers come in order, once each, with the body that was sent for each."""
        if not hasattr(self, "talk"):
            return
        answers, _ = self.answers()
        good = [json.loads(answer.body) for answer in answers if answer.status == 200]
        for (number, size), (saw_number, saw_size) in zip(self.asked, good, strict=False):
            assert saw_number == str(number)
            assert size is None or saw_size == size
        assert len(good) <= len(self.asked)
        assert all(answer.status == 400 for answer in answers[len(good) :])
        assert self.app.most <= 1, "two requests of one connection were answered at a time"


Conversation.TestCase.settings = settings(max_examples=60, stateful_step_count=20)


class TestConversation(Conversation.TestCase):
    """S1 S3: any conversation on one connection, in any pieces, keeps order and framing."""


def test_corpus_is_parsed_strictly() -> None:
    """S10: the reader that these tests rely on refuses what has two readings."""
    for bad in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nabc",
    ):
        with pytest.raises(AssertionError):
            parse_responses(bad)


@pytest.mark.parametrize("cut", CUT)
def test_a_pipelined_request_that_is_cut_off(server: InLoop, cut: bytes) -> None:
    """W23, S12: an app hears of FIN also if its request is read only after FIN has come."""
    whole = GOOD[0] + GOOD[2]
    assert outcomes(server.talk([whole + cut]))[:2] == outcomes(server.talk([whole]))
