"""Threads for what async views have done synchronously: queries, middleware, signals (M30).

asgiref promises that all such calls of one request run in one thread ("thread-sensitive"), and
much relies on it: transactions, and middleware that keeps the user in a thread-local. So a request
has a thread for itself, called a *lane*, from its first such call to its end.

Django makes a thread for each request, and leaves it to chance when its connections are closed.
Here the next request gets the lane of one that has ended. The first lane keeps its database
connections for the next request; the others close theirs with each request. So what stays open is
at most one connection to each database, however many requests there were at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Final

from django.db import connections

#: The most lanes that wait for requests; others end.
MOST_IDLE: Final = 8


class Lane:
    """One thread; the `first` one keeps its connections."""

    def __init__(self, *, first: bool) -> None:
        self.first = first
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="bridge-django")

    def close_connections(self) -> None:
        """Have the thread close its connections to databases; returns at once."""
        self.pool.submit(connections.close_all)

    def close(self) -> None:
        """End the thread, after it has closed its connections; returns at once."""
        self.close_connections()
        self.pool.shutdown(wait=False)


class Lanes:
    """The lanes of a project; each has one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Lane] = []
        self._has_first = False
        self._over = False
        #: How many requests have one.
        self.used = 0

    def take(self) -> Lane:
        """Return a lane for a request; the first one if it is free."""
        with self._lock:
            self.used += 1
            if self._idle:
                return self._idle.pop()
            lane = Lane(first=not self._has_first)
            self._has_first = True
            return lane

    def give_back(self, lane: Lane) -> None:
        """Take the lane of a request that has ended, and whose calls have, too."""
        with self._lock:
            self.used -= 1
            stays = not self._over and (lane.first or len(self._idle) < MOST_IDLE)
            if stays:
                self._idle.insert(len(self._idle) if lane.first else 0, lane)
        if not stays:
            lane.close()
        elif not lane.first:
            lane.close_connections()

    def close(self) -> None:
        """End those that no request has, and the others with their requests: the loop stops."""
        with self._lock:
            self._over = True
            self._has_first = False
            idle, self._idle = self._idle, []
        for lane in idle:
            lane.close()


class RequestExecutor(Executor):
    """What asgiref runs the synchronous code of one request in: its lane.

    `shutdown` is called at the end of the request. A task that outlives it gets a lane for each
    call.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._lock = threading.Lock()
        self._lane: Lane | None = None
        self._calls = 0
        self._over = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call in the request's lane."""
        with self._lock:
            if self._lane is None:
                self._lane = self._lanes.take()
            self._calls += 1
            future = self._lane.pool.submit(fn, *args, **kwargs)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Any]) -> None:
        with self._lock:
            self._calls -= 1
        self._give_back_if_over()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Give the lane back, as soon as no call runs in it any more."""
        self._over = True
        self._give_back_if_over()

    def _give_back_if_over(self) -> None:
        with self._lock:
            if not self._over or self._calls:
                return
            lane, self._lane = self._lane, None
        if lane is not None:
            self._lanes.give_back(lane)
