"""What clients have seen: answers by kind, and each failure with its kind, place and time.

What counts as a failure:

- **refused**: no connection could be made. After the final SIGTERM a client that is refused goes
  home: the server is gone, as it was told.
- **no byte**: the connection ended, by a reset or in order, after a request was sent and before a
  byte of its answer came. Also on a connection that was used before and that the server closed
  just then: many clients try again in this case, and some do not (a POST must not be sent twice),
  so here it is lost.
- **cut**: the connection ended in the middle of an answer.
- **wrong**: a whole answer with another body than this very request must have, or one without a
  length.
- **status**: a status that is not 200, or at a WebSocket's handshake 101.
- **timeout**: no whole answer within 15 s.
- **WebSocket**: it ended without a closing frame, or with another code than 1012 (service restart)
  or 1001 (going away), or a wrong message came back.

What is none:

- The server says ``Connection: close``, and closes after the answer: the client obeys.
- It closes a connection while no request is on it.
- It closes a WebSocket with 1012 or 1001: the client comes back, and says its last message again.

Two kinds of failures are counted apart and shown (`Tally`):

- in flight on a worker that was *killed*: the connection was there before the kill, and nobody
  knows it to be another worker's;
- after the final SIGTERM: *no byte* on a connection for a request that was begun after it. The
  server was told to go, and closes what is idle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

#: Seconds from a kill until its clients have noticed.
NOTICED = 2.0


@dataclass(frozen=True)
class Failure:
    """A request that failed. Times are those of ``time.monotonic``; `worker` is "" if unknown."""

    kind: str
    what: str
    begun: float
    ended: float
    opened: float
    reused: bool
    worker: str
    detail: str

    def __str__(self) -> str:
        place = f"a {'used' if self.reused else 'new'} connection"
        place += f" of worker {self.worker or 'unknown'}"
        took = f"{self.ended - self.begun:.3f} s"
        return f"{self.ended:.3f}: {self.kind}: {self.what} on {place}, after {took}: {self.detail}"


@dataclass(frozen=True)
class Kill:
    """A worker that was killed, and when."""

    pid: int
    at: float

    def has_taken(self, failure: Failure) -> bool:
        """Whether a request was in flight on this worker."""
        return (
            failure.kind in ("no byte", "cut", "WebSocket")
            and failure.opened <= self.at <= failure.ended <= self.at + NOTICED
            and failure.worker in ("", str(self.pid))
        )


@dataclass
class Outcome:
    """All that the clients of one run have seen."""

    #: Kind of request -> how many whole and right answers came; "messages" are those of WebSockets.
    answers: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    #: Connections that the server ended: by saying so, while idle; WebSockets told to come back.
    told: int = 0
    idle: int = 0
    restarted: int = 0
    seconds: float = 0.0

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Outcome:
        """What the process of the clients has printed."""
        failures = [Failure(**each) for each in said.pop("failures")]
        return cls(failures=failures, **said)

    @property
    def requests(self) -> int:
        """Right answers over HTTP."""
        return sum(n for kind, n in self.answers.items() if kind != "messages")

    @property
    def total(self) -> int:
        """All that was asked: right answers, messages that came back, and failures."""
        return sum(self.answers.values()) + len(self.failures)

    def tally(self, kills: Iterable[Kill] = (), told: float | None = None) -> Tally:
        """The failures, told apart; `told` is the time of the final SIGTERM."""
        tally = Tally()
        for failure in self.failures:
            if any(kill.has_taken(failure) for kill in kills):
                tally.killed.append(failure)
            elif told is not None and failure.kind == "no byte" and failure.begun > told:
                tally.going.append(failure)
            elif told is None or failure.kind != "refused" or failure.ended < told:
                tally.lost.append(failure)
        return tally


@dataclass
class Tally:
    """Failures that count, and those that are counted apart."""

    lost: list[Failure] = field(default_factory=list)
    killed: list[Failure] = field(default_factory=list)
    going: list[Failure] = field(default_factory=list)

    def kinds(self) -> str:
        """How many of each kind are lost, as text."""
        counts = Counter(failure.kind for failure in self.lost)
        return ", ".join(f"{count} {kind}" for kind, count in counts.most_common()) or "none"
