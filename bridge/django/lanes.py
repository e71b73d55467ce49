"""Threads for what async views have done synchronously: queries, middleware, signals (M30).

asgiref promises that all such calls of one request run in one thread ("thread-sensitive"), and
much relies on it: transactions, and middleware that keeps the user in a thread-local. So a request
has a thread for itself, called a *lane*, from its first such call to its end.

Django makes a thread for each request, and leaves it to chance when its connections are closed.
Here the next request gets the lane of one that has ended. The first lane keeps its database
connections for the next request; the others close theirs with each request. So what stays open is
at most one connection to each database, however many requests there were at once. A request that
leaves a transaction open, as one whose client has left may, takes its lane along.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from asyncio import AbstractEventLoop
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, Final

from django.db import close_old_connections, connections, reset_queries

#: The most lanes that wait for requests; others end.
MOST_IDLE: Final = 8

_NUMBERS = itertools.count(1)


class Lane:
    """One thread, which ends with the process."""

    def __init__(self) -> None:
        #: Whether the last call has left a transaction open.
        self.in_transaction = False
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        name = f"bridge-django-{next(_NUMBERS)}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def submit(self, job: Callable[[], object]) -> None:
        """Have the thread run it, which must not raise; returns at once."""
        self._jobs.put(job)

    def look(self) -> None:
        """Note whether a transaction is open; for the thread itself."""
        opened = connections.all(initialized_only=True)
        self.in_transaction = any(each.in_atomic_block for each in opened)

    def close_connections(self) -> None:
        """Have the thread close its connections to databases; returns at once."""
        self._jobs.put(connections.close_all)

    def close(self) -> None:
        """End the thread, after it has closed its connections; returns at once."""
        self.close_connections()
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # what it holds ends now, and not with the next one


class Lanes:
    """The lanes of a project; each has one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Lane] = []
        self._first: Lane | None = None
        self._over = False
        #: How many requests have one.
        self.used = 0

    def take(self) -> Lane:
        """Return a lane for a request; the first one if it is free."""
        with self._lock:
            lane = self._idle.pop() if self._idle else Lane()
            if self._first is None:
                self._first = lane
            self.used += 1
            return lane

    def give_back(self, lane: Lane) -> None:
        """Take the lane of a request that has ended, and whose calls have, too."""
        with self._lock:
            self.used -= 1
            is_first = lane is self._first
            stays = not (self._over or lane.in_transaction)
            stays = stays and (is_first or len(self._idle) < MOST_IDLE)
            if not is_first:
                lane.close_connections()  # before a request can take it, and use them
            if stays:
                self._idle.insert(len(self._idle) if is_first else 0, lane)
            elif is_first:
                self._first = None
        if not stays:
            lane.close()

    def open(self) -> None:
        """Keep lanes for the next requests; a loop begins, maybe after another one."""
        self._over = False

    def close(self) -> None:
        """End those that no request has, and the others with their requests: the loop stops."""
        with self._lock:
            self._over = True
            self._first = None
            idle, self._idle = self._idle, []
        for lane in idle:
            lane.close()


class RequestExecutor(Executor):
    """What asgiref runs the synchronous code of one request in: its lane.

    `context` is the request's, as asgiref has it. `shutdown` is called at the end of the request.
    A task that outlives it has a lane of its own from its next call on, for as long as there is the
    context.

    `skips_first`: the first call is not needed, and answered with an empty list (see `handlers`).
    """

    def __init__(
        self, lanes: Lanes, context: object, loop: AbstractEventLoop, *, skips_first: bool = False
    ) -> None:
        self._lanes = lanes
        self._context = weakref.ref(context)
        self._loop = loop
        self._skips = skips_first
        self._lock = threading.Lock()
        self._lane: Lane | None = None
        self._calls = 0
        self._over = False
        #: Whether a task that outlives the request keeps the lane.
        self._outlived = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call in the request's lane."""
        future: Future[Any] = Future()
        if self._skips:
            self._skips = False
            future.set_result([])
            return future
        with self._lock:
            begins = self._lane is None
            if self._lane is None:
                self._lane = self._lanes.take()
            if self._over and not self._outlived:
                self._outlived = True
                self._end_with_context()
            lane = self._lane
            self._calls += 1
        future.add_done_callback(self._ended)
        lane.submit(partial(_run, lane, begins, future, partial(fn, *args, **kwargs)))
        return future

    def _end_with_context(self) -> None:
        # What is collected may be so in the middle of anything, so the loop does the work.
        ends = weakref.finalize(self._context(), _call_soon, self._loop, self._let_go)
        ends.atexit = False

    def _let_go(self) -> None:
        self._outlived = False
        self._give_back_if_over()

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
            if not self._over or self._calls or self._outlived:
                return
            lane, self._lane = self._lane, None
        if lane is not None:
            self._lanes.give_back(lane)


def _run(lane: Lane, begins: bool, future: Future[Any], call: Callable[[], Any]) -> None:
    """Run a call in its lane; the first one of a request after what Django does before it."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        if begins:
            reset_queries()
            close_old_connections()
        result = call()
    except BaseException as error:
        lane.look()
        future.set_exception(error)
    else:
        lane.look()
        future.set_result(result)


def _call_soon(loop: AbstractEventLoop, call: Callable[[], object]) -> None:
    if loop.is_closed():
        return
    loop.call_soon_threadsafe(call)
