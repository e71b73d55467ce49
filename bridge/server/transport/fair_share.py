"""How many connections a worker takes, beside others that accept at the same sockets (P8).

All workers see a connection that waits, and know from the board how many each of them has. The
share of a worker is what each would have if those that wait were spread evenly; it takes what is
missing to that, and leaves the rest to the others:

    share = (connections of all workers + those that wait) / workers, rounded up

If others have room and nothing is heard of them, they may be blocked, stopped, or about to die.
After `PATIENCE` all workers leave them out of the account, until they write on the board again.

A worker that has had its share looks away, so that it is not woken for each connection of the
others, and looks again a little later: at first soon, then more and more seldom.
"""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Final

from bridge.server.network.load_board import SHIFT, Seat

#: Seconds that connections wait for workers that have room and do nothing.
PATIENCE: Final = 0.02
#: Seconds until a worker that has had its share looks again: the first time, and at most.
SOON: Final = 0.001
LATEST: Final = 0.008
#: The number of workers that look again at the same moment.
_TOGETHER: Final = 8


class WorkerLoad:
    """How many connections this worker has: counted here, written on the board for the others.

    They are those of `connections`, which are open, and `handshakes`, which are about to be.
    """

    def __init__(self, seat: Seat, connections: Sized, handshakes: Sized) -> None:
        self._seat = seat
        #: Where it is among the workers.
        self.index = seat.index
        self._connections = connections
        self._handshakes = handshakes
        #: Accepted, and in none of them yet.
        self._begun = 0
        self._accepts = False
        #: Where connections waited when this worker had had its share -> how large that was.
        self._away: dict[Callable[[], None], int] = {}

    def count(self) -> int:
        """Return how many connections it has."""
        return self._begun + len(self._connections) + len(self._handshakes)

    def publish(self) -> None:
        """Write how many connections it has, after each change."""
        if not self._accepts:
            return
        connections = self.count()
        self._seat.set(connections)
        if self._away:
            self._call_back(connections)

    def add_begun(self, number: int) -> None:
        """Count what was accepted, and is not known by others yet; negative: it is now."""
        self._begun += number

    def open(self) -> None:
        """Say that it accepts connections."""
        self._accepts = True
        self.publish()

    def close(self) -> None:
        """Say that it accepts none."""
        self._accepts = False
        self._seat.leave()

    # --------------------------------------------------------- having had one's share

    def call_back(self, look: Callable[[], None], share: int) -> None:
        """Call `look`, once, when so many have closed that there are fewer than `share`."""
        self._away[look] = share

    def forget(self, look: Callable[[], None]) -> None:
        """Do not call `look`: it has looked."""
        self._away.pop(look, None)

    def _call_back(self, connections: int) -> None:
        for look, share in list(self._away.items()):
            if connections < share:
                del self._away[look]
                look()

    # --------------------------------------------------------- the others

    def others(self) -> dict[int, int]:
        """Return what those others have written last that accept, and did so when they should."""
        if self._accepts and self._seat.is_given_up:
            self.publish()  # it is here again
        return self._seat.others()

    def give_up(self, silent: dict[int, int]) -> None:
        """Wait no more for others, until they write again: `silent` is what they wrote last."""
        self._seat.give_up(silent)


class Turn:
    """How much one listener may accept now."""

    def __init__(self, load: WorkerLoad) -> None:
        self._load = load
        #: Seconds to look away the first time: not all workers look at the same moment.
        self._first = SOON * (1 + load.index // _TOGETHER)
        self.rest()

    def rest(self) -> None:
        """Nothing waits: whoever had room has nothing to be blamed for."""
        #: Others that have room, and what they wrote last; since when nothing was heard of them.
        self._expected: dict[int, int] = {}
        self._since = 0.0
        #: Seconds to look away, if there is no room.
        self.pause = self._first
        #: What each worker is to have.
        self.share = 0

    def room(self, waiting: int, now: float) -> int:
        """Return how many connections to take, of `waiting` (at least 1). `now` is in seconds."""
        own, others = self._load.count(), self._load.others()
        total = own + waiting
        for cell in others.values():
            total += cell >> SHIFT
        share = self.share = -(-total // (len(others) + 1))
        if own < share:
            self._expected = {}
            self.pause = self._first
            return share - own
        expected = {i: cell for i, cell in others.items() if cell >> SHIFT < share}
        if any(expected.get(i) != cell for i, cell in self._expected.items()):
            self._expected = {}  # one of them has done something
        if not self._expected:
            self._expected, self._since = expected, now
            self.pause = min(self._first + SOON * (own - share), LATEST)
            return 0
        if now - self._since < PATIENCE:
            self.pause = min(self.pause * 2, LATEST)
            return 0
        self._load.give_up(self._expected)
        self._expected = {}
        return self.room(waiting, now)
