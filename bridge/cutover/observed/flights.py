"""Requests that are on their way, so that an app that hangs is seen before they end (M21).

A request that only waits for its app, and has no answer yet after the `timeout` of the gate, counts
as a failure then, and not a second time at its end. There is no timer: the time to look is when
another request comes or ends, at most once a second.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Final, Protocol

from bridge.cutover.observed.board import Board
from bridge.cutover.route import Route

#: Seconds from one look to the next.
_EACH: Final = 1.0


class Flight(Protocol):
    """A request that is on its way."""

    @property
    def unanswered(self) -> bool:
        """Whether only its app is waited for, and has not begun to answer."""

    @property
    def client_took(self) -> float:
        """For how many seconds its client has kept the app waiting."""


class Flights:
    """Requests by the time of `clock` when they began; `observe` is that of a `Canary`.

    Any thread may call `end`.
    """

    def __init__(
        self,
        observe: Callable[[Route, str, int, float | None], object],
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._observe = observe
        self._clock = clock
        self._open: dict[float, tuple[Route, str, Flight]] = {}
        self._next_look = 0.0
        #: Where each is noted while it is on its way; None: nowhere.
        self.board: Board | None = None

    def begin(self, route: Route, side: str, started: float, flight: Flight) -> None:
        """Note that a request has begun."""
        self._open[started] = route, side, flight
        if self.board is not None:
            self.board.begin(route, side)
        self._look_if_due()

    def end(self, started: float) -> Flight | None:
        """Return the request that began then, and is over; None if it was counted before."""
        found = self._over(started)
        self._look_if_due()
        return found

    def _over(self, started: float) -> Flight | None:
        found = self._open.pop(started, None)
        if found is None:
            return None
        if self.board is not None:
            self.board.end(*found[:2])
        return found[2]

    def _look_if_due(self) -> None:
        if self._clock() >= self._next_look:
            self.look()

    def look(self) -> None:
        """Count those that take too long."""
        now = self._clock()
        self._next_look = now + _EACH
        for started, (route, side, flight) in tuple(self._open.items()):
            gate = None if route.canary is None else route.canary.gate
            if gate is None or now - started < gate.patience or not flight.unanswered:
                continue
            seconds = now - started - flight.client_took
            if seconds < gate.patience:
                continue
            if self._over(started) is not None:  # else it has just ended
                self._observe(route, side, 504, seconds)
