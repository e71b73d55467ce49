"""Requests that are on their way."""

from __future__ import annotations

from bridge.cutover.observed.flights import Flights
from bridge.cutover.route import Route

GATE = {"window": 60, "timeout": "5s"}
ROUTE = Route("a", "/a", mode="canary", share=50, gate=GATE)


class Request:
    """One that waits for its app, or not."""

    unanswered = True
    client_took = 0.0


class Sky:
    """Flights, with a clock of their own, and what was observed."""

    def __init__(self) -> None:
        self.now = 100.0
        self.seen: list[tuple[str, str, int, float | None]] = []
        self.flights = Flights(self.observe, lambda: self.now)

    def observe(self, route: Route, side: str, status: int, seconds: float | None) -> None:
        self.seen.append((route.name, side, status, seconds))


def test_an_app_that_hangs_is_counted_while_it_does() -> None:
    """M21: after the time of the gate, once, when another request comes."""
    sky, hangs = Sky(), Request()
    sky.flights.begin(ROUTE, "new", 100.0, hangs)
    sky.now = 104.0
    sky.flights.begin(ROUTE, "old", 104.0, Request())
    assert not sky.seen
    sky.now = 106.0
    sky.flights.begin(ROUTE, "old", 106.0, Request())
    assert sky.seen == [("a", "new", 504, 6.0)]
    assert sky.flights.end(100.0) is None
    sky.now = 107.0
    assert sky.flights.end(106.0) is not None
    assert len(sky.seen) == 1


def test_what_a_client_takes_to_send_is_no_time_of_the_app() -> None:
    """M21: after 6 s of a slow upload it has the whole time of the gate."""
    sky, slow = Sky(), Request()
    slow.client_took = 6.0
    sky.flights.begin(ROUTE, "new", 100.0, slow)
    sky.now = 107.0
    sky.flights.look()
    assert not sky.seen
    sky.now = 111.0
    sky.flights.look()
    assert sky.seen == [("a", "new", 504, 5.0)]


def test_one_that_answers_or_has_no_gate_does_not_hang() -> None:
    """M21: a stream may last for hours, and without a gate nobody asks."""
    sky, streams = Sky(), Request()
    streams.unanswered = False
    sky.flights.begin(ROUTE, "new", 100.0, streams)
    sky.flights.begin(Route("b", "/b", mode="canary", share=5), "new", 100.5, Request())
    sky.now = 4000.0
    sky.flights.look()
    assert not sky.seen
    assert sky.flights.end(100.0) is streams


def test_it_looks_at_most_once_a_second() -> None:
    """M21: however many requests come."""
    sky = Sky()
    sky.flights.look()
    sky.flights.begin(ROUTE, "new", 90.0, Request())
    assert not sky.seen
    sky.now = 101.0
    assert sky.flights.end(1.0) is None
    assert len(sky.seen) == 1
