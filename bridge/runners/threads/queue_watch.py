"""Watch a pool's queue while jobs wait in it: wake threads, and refuse what waits in vain.

One timer of the loop looks at the first job of the queue. The same one there at two looks means
that no thread takes jobs: threads are woken, twice as many at each look. (Jobs that those have
taken do not count: if nothing else moves, more are woken.) If none can be woken, jobs keep their
place (W52), with four exceptions:

- threads whose responses stream leave the pool, so that others can be started (`stream_watch.py`);
  if they may not, and hold every thread, all that wait are refused (R1);
- with `queue_timeout`, a job that has waited longer than that is refused;
- a job that waits for long is told so, and finds out whether its client is still there;
- requests that the app sends to itself are refused if they would wait for each other (W53).

A thread that waits for a request of its own app needs another thread for it. So the pool stands
still for ever if each of its threads waits for such a request, which is in the queue or in another
thread. Then there are at least as many of these as threads: the newest are refused, until there are
fewer, and the others go to the front of the queue, where they free the threads that wait for them.
`self_requests` tells which they are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import Protocol

from bridge.errors import BridgeError, Overloaded, SelfRequest
from bridge.runners.base import Job
from bridge.runners.threads.self_requests import self_connections
from bridge.runners.threads.stream_watch import StreamWatch

#: Seconds between two looks at the queue: while more threads can be woken (the next comes at once
#: if that takes longer) ...
TICK = 0.001
#: ... and, after ever longer times, while they cannot. (What is just beginning may soon stream.)
SLOW_TICK = 0.05
#: Threads that one look wakes or starts: the loop waits until each that it starts does run.
MOST_AT_ONCE = 16
#: Seconds after which a job that waits is told so, and after which a queue that does not move is
#: searched for requests of the app to itself.
LONG_WAIT = 0.25
#: Seconds after which a look is late: other threads compute, and keep the loop from running.
LATE = 0.004
#: Such a search takes at most this part of the loop's time.
SEARCH_SHARE = 0.01


class Pool(Protocol):
    """What is watched."""

    def wake(self) -> bool:
        """Wake or start one thread; False if that cannot be."""

    def nobody_can_run(self) -> bool:
        """Whether there is no thread and none can be started; then all that wait are refused."""

    def running(self) -> list[Job]:
        """Return the jobs that run now, one for each busy thread that counts."""

    def withdraw(self, job: Job) -> bool:
        """Take `job` out of the queue; False if it is not there any more."""

    def refuse(self, job: Job, error: BridgeError) -> None:
        """Answer `job`, which is out of the queue, with `error`."""


class QueueWatch:
    """Watches the queue `jobs` of `pool` on `loop`; `timeout`: seconds in the queue, 0 for any."""

    def __init__(
        self,
        pool: Pool,
        streams: StreamWatch,
        jobs: deque[Job],
        loop: asyncio.AbstractEventLoop,
        timeout: float,
    ) -> None:
        self.loop = loop
        self.streams = streams
        self._pool = pool
        self._jobs = jobs
        self._timeout = timeout
        #: The next look; None while no job waits.
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        #: The first jobs at the last look: one for each thread that was woken, and one more.
        self._front: tuple[Job, ...] = ()
        #: Threads to wake at the next look, and seconds from one that wakes none to the next.
        self._to_wake = 1
        self._pause = TICK
        # Not before these times of the loop: tell jobs that they wait for long; ask whether they
        # wait in vain; search for the app's own requests.
        self._tell_at = 0.0
        self._ask_at = 0.0
        self._search_at = 0.0

    def start(self) -> None:
        """Look at the jobs that wait, until none does. Harmless if that is under way."""
        if self._timer is None:
            self._look_from_now()

    def stop(self) -> None:
        """Look no more, nor at what streams."""
        self.streams.stop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._front = ()

    def _look_from_now(self) -> None:
        """Begin with the job that is the first now."""
        self._front = tuple(self._jobs)[:1]
        if self._front:
            self._to_wake, self._pause = 1, TICK
            self._ask_at = self.loop.time() + LONG_WAIT
            self._look_after(TICK)

    def _look_after(self, delay: float) -> None:
        self._timer = self.loop.call_later(delay, self._look)
        self._due = self.loop.time() + delay  # uvloop's time stands still until it sets a timer

    def _look(self) -> None:
        """Wake more threads if no job was taken since the last look but by those woken there."""
        now = self.loop.time()
        late = now > self._due + LATE
        self._timer = None
        if self._timeout:
            self._refuse_queued_before(now - self._timeout)
        if now >= self._tell_at:
            self._tell_at = now + LONG_WAIT
            self._tell_queued_before(now - LONG_WAIT)
        begin = time.monotonic()
        queued = tuple(self._jobs)
        if not queued or queued[0] not in self._front:
            self._look_from_now()
            return
        woken = self._wake(min(self._to_wake, len(queued)))
        self._to_wake = min(self._to_wake * 2, MOST_AT_ONCE)
        if not woken:
            wanted = min(len(queued), MOST_AT_ONCE)
            woken = self._wake(self.streams.make_room(wanted, late=late))
        if self._pool.nobody_can_run() or not (woken or self._unless_streams_hold_all()):
            self._front = ()
            return
        self._front = queued[: woken + 1]
        if not woken and now >= self._ask_at:
            self._ask_at = now + LONG_WAIT
            self._search_if_due(now)
        if woken:
            self._pause = TICK
            self._look_after(max(0.0, TICK - (time.monotonic() - begin)))
        elif late:
            self._look_after(TICK)
        else:
            self._pause = min(self._pause * 2, SLOW_TICK)
            self._look_after(self._pause)

    def _wake(self, count: int) -> int:
        """Wake or start up to `count` threads; return how many that were."""
        return sum(self._pool.wake() for _ in range(count))

    def _unless_streams_hold_all(self) -> bool:
        """Refuse all that wait, and return False, if no thread ever comes free for them."""
        refusal = self.streams.refusal()
        if refusal is None:
            return True
        for job in tuple(self._jobs):
            if self._pool.withdraw(job):
                self._pool.refuse(job, refusal)
        return False

    def _refuse_queued_before(self, last: float) -> None:
        """Refuse jobs that were queued before `last`, a time of the loop."""
        for job in tuple(self._jobs):
            if job.queued_at >= last:
                return
            if self._pool.withdraw(job):
                error = f"no thread came free within {self._timeout:g} s, which is queue_timeout"
                self._pool.refuse(job, Overloaded(error))

    def _tell_queued_before(self, last: float) -> None:
        """Tell jobs that were queued before `last` that they wait for long."""
        for job in tuple(self._jobs):
            if job.queued_at >= last:
                return
            job.on_long_wait()

    def _search_if_due(self, now: float) -> None:
        """Look whether all wait for themselves: nothing moves, and no thread can be woken."""
        if now >= self._search_at:
            begin = time.perf_counter()
            self._refuse_self_requests(tuple(self._jobs))
            self._search_at = now + (time.perf_counter() - begin) / SEARCH_SHARE

    def _refuse_self_requests(self, queued: Iterable[Job]) -> None:
        """Refuse the newest requests of the app to itself while they could hold every thread."""
        running = self._pool.running()
        peers = {job: job.peer for job in (*queued, *running)}
        own = self_connections({peer for peer in peers.values() if peer is not None})
        if not own:
            return
        waiting = [job for job in queued if peers[job] in own]
        others = sum(peers[job] in own for job in running)
        if not waiting or len(waiting) + others < len(running):
            return
        error = SelfRequest(
            f"the app waits for a request to itself, and so do all its threads ({len(running)}): "
            "one of them would have to answer it; raise `threads`"
        )
        while waiting and len(waiting) + others >= len(running):
            job = waiting.pop()
            if self._pool.withdraw(job):
                self._pool.refuse(job, error)
        for job in reversed(waiting):
            if self._pool.withdraw(job):
                self._jobs.appendleft(job)
