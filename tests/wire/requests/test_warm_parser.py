"""What was read before has no effect: a parser that is warm reads as one that is new (S3).

The streams are those of `tests/fuzz/streams.py`; ``python -m tests.fuzz.warm 60`` reads others.
"""

from __future__ import annotations

import random
import re

import pytest

from bridge.caches import BoundedDict
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.fuzz.warm import PARTS, Comparison, Event
from tests.support import compiled
from tests.support.apps import spoiling
from tests.support.in_loop import InLoop, in_loop
from tests.support.remembered import tables

SEED = 10
#: Streams for each test.
SHARE = 12_500
#: One of so many also comes cut at random places, and byte by byte.
CUT = 20


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Its parsers have read a few thousand other streams when the first test begins."""
    read_head = compiled.speedups().read_head if compiled.can_compile() else None
    comparison = Comparison(SEED + 1, read_head)
    for number in range(3000):
        comparison.read(number)
    comparison.seed = SEED
    return comparison


@pytest.mark.parametrize("part", range(8))
def test_warm_and_new(comparison: Comparison, part: int) -> None:
    """S3: 100,000 streams, good and bad, have the same events, errors included, warm and new."""
    for number in range(part * SHARE, (part + 1) * SHARE):
        comparison.check(number, in_pieces=number % CUT == 0)


def test_the_streams_are_worth_it(comparison: Comparison) -> None:
    """S3: they reach every kind of request, and every reason to refuse one."""
    events = [event for number in range(6000) for event in comparison.read(number)]
    requests = [event for event in events if len(event) == PARTS]
    faults = [str(event[2]) for event in events if event[0] == "fault"]
    assert len(requests) > 2000
    assert len(faults) > 2000
    for place in range(4, PARTS):  # the flags
        assert {event[place] for event in requests} == {True, False}
    assert len({event[0] for event in requests}) > 20
    assert len({event[3] for event in requests}) > 10
    kinds = {re.sub(r"b'.*'|b\".*\"|[0-9]+", "", fault) for fault in faults}
    assert len(kinds) > 30
    assert {event[1] for event in events if event[0] == "fault"} >= {400, 414, 417, 431, 501, 505}


# ------------------------------------------------------------- whole connections

APPS = {"asgi": spoiling.asgi, "inline": WsgiToAsgi(spoiling.wsgi, runner="inline")}


def answer(server: InLoop, pieces: list[bytes]) -> bytes:
    """All that comes back on one connection, without its times."""
    return re.sub(rb"\r\ndate: [^\r]*", b"", server.talk(pieces))


def new_answer(app: object, pieces: list[bytes], kept: list[BoundedDict[object, object]]) -> bytes:
    """The answer of a server in a process in which nothing is cached."""
    for table in kept:
        table.clear()
    with in_loop(app) as server:
        return answer(server, pieces)


@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
def test_warm_and_new_servers(app: object) -> None:
    """S3, S13: what an app is given and how it is answered is the same, warm and new."""
    kept, comparison, new = tables(), Comparison(SEED + 2), []
    for number in range(300):
        data = comparison.stream(number)
        pieces = re.split(rb"(?<=\r\n\r\n)", data) if number % 2 else [data]
        pieces = [*filter(None, pieces)]
        new.append((pieces, new_answer(app, pieces, kept)))
    new *= 3
    random.Random(SEED).shuffle(new)
    with in_loop(app) as server:
        for pieces, expected in new:
            assert answer(server, pieces) == expected, pieces


@pytest.mark.parametrize("app", APPS.values(), ids=APPS)
def test_warm_and_new_connections(app: object) -> None:
    """S3, S13: a request is answered alike as the first of its connection and behind others."""
    kept, comparison, draw = tables(), Comparison(SEED + 3), random.Random(SEED)
    streams = [comparison.stream(n) for n in range(1500) if are_whole(comparison.read(n))]
    new = [(data, new_answer(app, [data], kept)) for data in streams]
    new = [(data, told) for data, told in new if b"\r\nconnection: close" not in told.lower()]
    assert len(new) > 200
    with in_loop(app) as server:
        for _ in range(500):
            few = draw.sample(new, 3)  # so that one of them often comes twice in a row
            chosen = draw.choices(few, k=8)
            expected = b"".join(told for _, told in chosen)
            assert answer(server, [data for data, _ in chosen]) == expected, chosen


def are_whole(events: list[Event]) -> bool:
    """Whether these are requests that are whole, with nothing behind them."""
    *told, left = events
    bad = {"fault", "partial body"} & {event[0] for event in told}
    return left == ("left", b"") and len(told) > 0 and not bad
