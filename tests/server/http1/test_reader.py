"""The reader by lists of bytes: whole, byte by byte, and cut anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import RequestError
from bridge.server.http1.parser import HeadParser
from bridge.server.http1.reader import BLANK_LINES, Reader
from bridge.server.request import Request
from tests.support.corpus import Case, cases
from tests.support.raw import chunked, request

Event = tuple[object, ...]

pytestmark = pytest.mark.usefixtures("with_and_without_accelerator")


class Owner:
    """Takes requests one after the other, as a connection does, and notes what it is told.

    `takes`: whether it asks for whole bodies first, as a connection does.
    """

    def __init__(self, *, takes: bool = True, limit: int = 8192) -> None:
        self.reader = Reader(HeadParser(limit, limit, 100), self)
        self.takes = takes
        self.events: list[Event] = []
        self.body = b""
        self.ready = True

    def on_request(self, request: Request, head: bytes) -> None:
        self.events.append((request.method, request.target))
        self.ready = False
        if not request.length:
            self.ready = True
            return
        self.body = b""
        whole = self.reader.take_body() if self.takes else None
        if whole is None:
            self.reader.resume()
        else:
            self.end_body(whole)

    def on_body(self, data: bytes, last: bool) -> None:
        assert data or last
        self.body += data
        if last:
            self.end_body(self.body)

    def end_body(self, body: bytes) -> None:
        self.events.append(("body", body))
        self.ready = True

    def on_fault(self, error: RequestError, begin: bytes) -> None:
        self.events.append(("fault", error.status))
        self.ready = False
        self.reader.stop()

    def talk(self, pieces: Iterable[bytes]) -> list[Event]:
        """Everything that is told of `pieces`, if each answer comes at once."""
        for piece in pieces:
            self.reader.feed(piece)
            while self.ready and self.reader.resume():
                pass
        return self.events


def test_a_head_that_comes_again() -> None:
    """S3: the same head is the same request, until it is forgotten."""
    owner = Owner()
    assert owner.talk([GET, GET]) == [("GET", b"/a")] * 2
    owner.reader.forget_head()
    assert owner.talk([GET]) == [("GET", b"/a")] * 3


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


GET = request("/a")
POST = request("/b", "Content-Length: 5", method="POST") + b"hello"
CHUNKS = request("/c", "Transfer-Encoding: chunked", method="POST") + chunked(b"hel", b"lo")
STREAMS = {
    "nothing": (b"", []),
    "a request": (GET, [("GET", b"/a")]),
    "a body": (POST, [("POST", b"/b"), ("body", b"hello")]),
    "chunks": (CHUNKS, [("POST", b"/c"), ("body", b"hello")]),
    "pipelined": (
        CHUNKS + GET + POST + GET,
        [
            ("POST", b"/c"),
            ("body", b"hello"),
            ("GET", b"/a"),
            ("POST", b"/b"),
            ("body", b"hello"),
            ("GET", b"/a"),
        ],
    ),
    "blank lines": (b"\r\n" * BLANK_LINES + GET, [("GET", b"/a")]),
    "blank lines between": (GET + b"\r\n\r\n" + GET, [("GET", b"/a"), ("GET", b"/a")]),
    "too many blank lines": (b"\r\n" * (BLANK_LINES + 1) + GET, [("fault", 400)]),
    "part of a head": (GET[:-1], []),
    "a bare CR": (b"\r", []),
    "a CR that begins no blank line": (b"\rGET", [("fault", 400)]),
    "a malformed line": (b"\0" + GET, [("fault", 400)]),
    "a malformed head": (request("/", "A B: c"), [("fault", 400)]),
    "nothing behind a fault": (request("/", "A B: c") + GET, [("fault", 400)]),
    "malformed chunks": (
        request("/c", "Transfer-Encoding: chunked", method="POST") + b"x\r\n" + GET,
        [("POST", b"/c"), ("fault", 400)],
    ),
    "a long line": (b"GET /" + b"a" * 9000, [("fault", 414)]),
}


@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize("name", STREAMS)
def test_streams(name: str, takes: bool) -> None:
    """S3: what is read is the same, whole and byte by byte; nothing is after a fault."""
    data, expected = STREAMS[name]
    assert Owner(takes=takes).talk([data] if data else []) == expected
    assert Owner(takes=takes).talk(bytewise(data)) == expected


@given(
    names=st.lists(st.sampled_from(sorted(STREAMS)), max_size=3),
    places=st.lists(st.integers(1, 200), max_size=8),
)
def test_pieces_do_not_matter(names: list[str], places: list[int]) -> None:
    """S3: streams behind one another are read in the same way, however they are cut."""
    data = b"".join(STREAMS[name][0] for name in names)
    pieces, at = [], 0
    for size in places:
        pieces.append(data[at : at + size])
        at += size
    pieces.append(data[at:])
    whole = Owner().talk([data] if data else [])
    assert Owner().talk([piece for piece in pieces if piece]) == whole


def shown(target: object) -> str:
    assert isinstance(target, bytes)
    return target.decode("ascii", "backslashreplace")


def heads_of(case: Case) -> Iterator[str]:
    """What the corpus says of each request: its method and target, or the status of its refusal."""
    for answer in case.answers:
        words = answer.split(" ")
        yield " ".join(words[1:3]) if len(words) > 1 else words[0]


#: Those in which each request is whole, and has one answer.
CASES = [
    case
    for case in cases()
    if case.topic in ("fields", "length", "methods", "request_line")
    and case.answers
    and not any("|" in answer for answer in case.answers)
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_corpus(case: Case) -> None:
    """S3: the corpus is refused or read here already, whole and byte by byte."""
    for pieces in ([case.data], bytewise(case.data)):
        told = []
        for event in Owner().talk(pieces):
            if event[0] == "fault":
                told.append(str(event[1]))
            elif event[0] != "body":
                told.append(f"{event[0]} {shown(event[1])}")
        assert told == list(heads_of(case))


# ------------------------------------------------------------- one at a time


class Slow(Owner):
    """Answers nothing by itself."""

    def on_request(self, request: Request, head: bytes) -> None:
        self.events.append((request.method, request.target))


def test_what_comes_too_early_is_kept() -> None:
    """S1: the next request is read when its owner wants it, and not before."""
    owner = Slow()
    owner.reader.feed(GET + POST)
    owner.reader.keep(GET)
    assert owner.events == [("GET", b"/a")]
    assert owner.reader.holds_enough(2, 1 << 16)
    assert not owner.reader.holds_enough(3, 1 << 16)
    assert owner.reader.holds_enough(3, 10)
    assert owner.reader.resume()
    assert owner.events == [("GET", b"/a"), ("POST", b"/b")]
    assert owner.reader.take_body() == b"hello"
    assert owner.reader.resume()
    assert not owner.reader.resume()
    assert owner.events[2:] == [("GET", b"/a")]


def test_a_body_that_is_not_whole_cannot_be_taken() -> None:
    """A body that comes in pieces, or in chunks, is given piece by piece."""
    for data in (POST[:-1], CHUNKS):
        owner = Slow()
        owner.reader.feed(data)
        assert owner.reader.take_body() is None


@pytest.mark.parametrize("behind", [b"", GET])
def test_a_body_that_is_too_long_stays(behind: bytes) -> None:
    """W22: its owner refuses it by its length, and reads it on; the rest is in its place."""
    owner = Slow()
    owner.reader.feed(POST + behind)
    assert owner.reader.take_body(4) is None
    assert bytes(owner.reader.buffer) == b"hello" + behind
    assert owner.reader.take_body(5) == b"hello"
    assert bytes(owner.reader.buffer) == behind


def test_a_body_that_nobody_asked_for_is_dropped_at_a_stop() -> None:
    """S3: an owner can refuse a request by its head alone; nothing of it is kept."""
    owner = Slow()
    owner.reader.feed(POST)
    assert owner.reader.stop() == b""
    assert owner.reader.take_body() is None


def test_stop() -> None:
    """S3: after `stop` nothing is read or kept, and what was kept is the caller's."""
    owner = Slow()
    owner.reader.feed(GET + b"rest")
    assert owner.reader.stop() == b"rest"
    owner.reader.feed(GET)
    owner.reader.keep(GET)
    assert not owner.reader.resume()
    assert owner.reader.stop() == b""
    assert owner.events == [("GET", b"/a")]


def test_an_owner_that_stops_at_a_piece_hears_of_no_fault() -> None:
    """S3: whoever has stopped the reader in the middle of what it read is told nothing more."""

    class Stops(Owner):
        def on_body(self, data: bytes, last: bool) -> None:
            self.events.append(("piece", data))
            self.reader.stop()

    owner = Stops(takes=False)
    owner.reader.feed(POST[:-1])
    owner.reader.feed(b"o" + GET)
    assert owner.events == [("POST", b"/b"), ("piece", b"hell")]


def test_the_begin_of_a_fault() -> None:
    """S6: an owner is told how a request that is refused began; 80 bytes of one in parts."""
    begins: list[bytes] = []

    class Notes(Owner):
        def on_fault(self, error: RequestError, begin: bytes) -> None:
            begins.append(begin)
            self.reader.stop()

    bad = request("/" + "a" * 100, "A B: c")
    Notes().talk([bad])
    Notes().talk([b"\0" * 200])
    Notes().talk([request("/c", "Transfer-Encoding: chunked", method="POST"), b"x"])
    assert begins == [bad, b"\0" * 80, b""]
