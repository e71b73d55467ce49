"""What the two sides of a route have answered: requests, failures, client errors, durations.

Each worker has a `Tally` for each side of a route. From time to time it takes what has been counted
since the last time, and hands it to whoever decides for the whole server. Such differences of many
workers are simply added, and a worker that begins anew does no harm.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from math import ceil, log
from typing import Any, Final, NamedTuple

#: Each bucket of durations ends at 10 ** (1 / 20) times the bound of the one before: 12 % more.
_PER_DECADE: Final = 20
_FACTOR: Final = _PER_DECADE / log(10)
#: The bound of bucket 0, in seconds; the last bucket has all above 1000 s.
_SHORTEST: Final = 0.0001
_LAST: Final = 7 * _PER_DECADE
#: Requests that a tally keeps before it sorts them in.
_MOST_WAITING: Final = 4096
#: What an app answers by who asks, how often, and how slowly: no word on what it has.
_BY_CLIENT: Final = frozenset({401, 403, 408, 429})


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket for that duration."""
    if seconds <= _SHORTEST:
        return 0
    # What is a bound but for rounding is the bound.
    return min(ceil(log(seconds / _SHORTEST) * _FACTOR - 1e-9), _LAST)


def bound_of(bucket: int) -> float:
    """Return the longest duration of a bucket, in seconds."""
    return float(_SHORTEST * 10 ** (bucket / _PER_DECADE))


def is_client_error(status: int) -> bool:
    """Whether an app says so that it does not have, or does not understand, what it is asked."""
    return 400 <= status < 500 and status not in _BY_CLIENT


class Counts:
    """Requests of one side, how many failed, and how long they took, by bucket.

    `client_errors`: how many were answered with a status of `is_client_error`; none has failed.
    What has no duration (a WebSocket) is in `requests` only.
    """

    __slots__ = ("client_errors", "durations", "failed", "requests")

    def __init__(
        self,
        requests: int = 0,
        failed: int = 0,
        durations: Mapping[int, int] | None = None,
        client_errors: int = 0,
    ) -> None:
        self.requests = requests
        self.failed = failed
        self.client_errors = client_errors
        self.durations: dict[int, int] = dict(durations or {})

    def add(self, more: Counts, sign: int = 1) -> None:
        """Add what others have counted; `sign` -1 takes it away again."""
        self.requests += sign * more.requests
        self.failed += sign * more.failed
        self.client_errors += sign * more.client_errors
        durations = self.durations
        for bucket, count in more.durations.items():
            left = durations.get(bucket, 0) + sign * count
            if left:
                durations[bucket] = left
            else:
                del durations[bucket]

    @property
    def timed(self) -> int:
        """How many have a duration."""
        return sum(self.durations.values())

    def longer_than(self, bucket: int) -> int:
        """Return how many took longer than all in that bucket."""
        return sum(count for each, count in self.durations.items() if each > bucket)

    def quantile_bucket(self, part: float) -> int:
        """Return the bucket up to which that part of the durations is (0.95: p95)."""
        wanted, so_far = part * self.timed, 0
        for bucket in sorted(self.durations):
            so_far += self.durations[bucket]
            if so_far >= wanted:
                return bucket
        return 0

    def quantile(self, part: float) -> float | None:
        """Return that quantile in seconds, at most 12 % too long; None without any duration."""
        return bound_of(self.quantile_bucket(part)) if self.durations else None

    def as_json(self) -> list[Any]:
        """Return it as a list for JSON: what `from_json` reads."""
        return [self.requests, self.failed, sorted(self.durations.items()), self.client_errors]

    @classmethod
    def from_json(cls, given: list[Any]) -> Counts:
        """Read what `as_json` has made."""
        requests, failed, durations, client_errors = given
        return cls(requests, failed, dict(durations), client_errors)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and self.as_json() == other.as_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Counts {self.failed} of {self.requests} failed>"


class Sides(NamedTuple):
    """The counts of both sides."""

    old: Counts
    new: Counts

    def add(self, more: Sides, sign: int = 1) -> None:
        """Add the counts of each side; `sign` -1 takes them away again."""
        self.old.add(more.old, sign)
        self.new.add(more.new, sign)

    @classmethod
    def empty(cls) -> Sides:
        """Make one that has counted nothing."""
        return cls(Counts(), Counts())


class Tally:
    """Counts the requests of one side in one process; any thread may `note` one."""

    __slots__ = ("_counts", "_lock", "_waiting")

    def __init__(self) -> None:
        self._counts = Counts()
        #: What has been noted and not sorted in. Appending to a list is safe in every thread.
        self._waiting: list[tuple[int, float | None]] = []
        self._lock = threading.Lock()

    def note(self, status: int, seconds: float | None) -> None:
        """Count a request that is over; `seconds` is None if its duration says nothing."""
        self._waiting.append((status, seconds))
        if len(self._waiting) >= _MOST_WAITING:
            with self._lock:
                self._sort_in()

    def take(self) -> Counts:
        """Return what has been counted since the last call."""
        with self._lock:
            self._sort_in()
            taken, self._counts = self._counts, Counts()
        return taken

    def _sort_in(self) -> None:
        """Sort in what waits; the lock is held. Others append meanwhile, behind what is taken."""
        taken = self._waiting[:]
        del self._waiting[: len(taken)]
        counts = self._counts
        durations = counts.durations
        counts.requests += len(taken)
        for status, seconds in taken:
            counts.failed += status >= 500
            counts.client_errors += is_client_error(status)
            if seconds is not None:
                bucket = bucket_of(seconds)
                durations[bucket] = durations.get(bucket, 0) + 1
