"""Streams leave the pool: a thread whose response has begun, and goes on, holds no place (R1).

An event stream, or a download that its client does not read, keeps a thread busy for as long as the
client likes. Eight of them would stop a pool of eight. So a thread whose job streams is let go
(`ThreadPool.let_go`), and another may start in its place:

- when it has streamed for `after` seconds. A timer looks at the busy threads, as long as one is
  awake; a job costs nothing for that, not even the time of day.
- already when a job waits, and no thread can be woken: at the next look of the `QueueWatch`. If
  that look is late, the threads compute rather than wait, and more of them would not help: then
  only those leave that have been seen to stream before.

At most `limit` streams are beside the pool. If so many are, and every thread of the pool has
streamed for `after` seconds, what waits is refused (503): it would wait for ever.
"""

from __future__ import annotations

import asyncio

from bridge.errors import Overloaded
from bridge.runners.base import Job
from bridge.runners.threads.pool import STREAM, ThreadPool, Worker

#: Looks at the threads within `after` seconds, and the shortest time between two.
_LOOKS = 4
_SHORTEST = 0.05


class StreamWatch:
    """Lets go of the threads of `pool` whose jobs stream; all of it on the loop's thread.

    `after`: seconds; 0: at the first look. `limit`: the most streams beside the pool; 0: none
    leaves it, and what waits is never refused for that.
    """

    def __init__(
        self, pool: ThreadPool, loop: asyncio.AbstractEventLoop, after: float, limit: int
    ) -> None:
        self._pool = pool
        self._loop = loop
        self._after = after
        self._limit = limit
        self._timer: asyncio.TimerHandle | None = None
        #: Whether nothing is left to be started: the timer runs, or no stream ever leaves.
        self.watching = not limit
        #: The threads in the pool whose jobs stream, and since when they have been seen to.
        self._seen: dict[Worker, tuple[Job, float]] = {}

    def start(self) -> None:
        """Look at the threads from time to time, until all of them sleep."""
        if not self.watching:
            self.watching = True
            period = max(self._after / _LOOKS, _SHORTEST)
            self._timer = self._loop.call_later(period, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.watching = True
        self._seen.clear()

    def _look(self) -> None:
        self._let_go(self._ripe(), self._limit)
        self.watching = False
        pool = self._pool
        if len(pool.idle) < len(pool.workers) or pool.beside:  # one of those may come back
            self.start()
        else:
            self._timer = None

    def make_room(self, wanted: int, *, late: bool) -> int:
        """Let up to `wanted` streams go, the oldest first, as others wait; return how many went.

        `late`: the loop's turn came late, so threads compute.
        """
        if not self._limit:
            return 0
        before = {worker: job for worker, (job, _) in self._seen.items()}
        self._see()
        streams = [
            (since, worker, job)
            for worker, (job, since) in self._seen.items()
            if not late or before.get(worker) is job
        ]
        streams.sort(key=lambda stream: stream[0])
        return self._let_go([(worker, job) for _, worker, job in streams], wanted)

    def refusal(self) -> Overloaded | None:
        """Return why no job that waits can be run: streams hold every thread. None: one can be."""
        pool = self._pool
        if not self._limit or self._free() > 0 or len(self._ripe()) < max(pool.limit, 1):
            return None
        return Overloaded(
            f"each of the {pool.limit} threads is held by a response that streams, and "
            f"{self._limit} more of those are beside them, which is stream_limit: raise it, or "
            "see why their clients stay or do not read"
        )

    def _see(self) -> None:
        """Note which jobs stream now."""
        now, seen = self._loop.time(), self._seen
        self._seen = {
            worker: known
            if (known := seen.get(worker)) is not None and known[0] is job
            else (job, now)
            for worker, job in self._pool.busy()
            if job.streams
        }

    def _ripe(self) -> list[tuple[Worker, Job]]:
        """Return the threads in the pool that have streamed for `after` seconds."""
        self._see()
        last = self._loop.time() - self._after
        return [(worker, job) for worker, (job, since) in self._seen.items() if since <= last]

    def _free(self) -> int:
        """Return how many streams may still leave."""
        return self._limit - self._pool.figures().streams

    def _let_go(self, streams: list[tuple[Worker, Job]], most: int) -> int:
        """Let up to `most` of these go, as far as they may; return how many did."""
        if not streams:
            return 0
        gone = 0
        for worker, job in streams[: max(0, min(most, self._free()))]:
            gone += self._pool.let_go(worker, job, STREAM)
            del self._seen[worker]
        return gone
