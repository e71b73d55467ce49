"""`select.select`, `poll` and `epoll` in greenlets, and so `selectors` and `asyncio.run` (G6).

Each asks the kernel once without waiting. If nothing is ready, the greenlet waits until something
is, and asks again: another greenlet may have been faster. An epoll set is itself a descriptor that
can be waited for, so its own are not looked at.

What the runner's watch does not take is waited for in a thread: a plain file, or an epoll set in
which there is another, or whose descriptors are in a hundred others.
"""

from __future__ import annotations

import errno
import select as _module
from collections.abc import Callable, Iterable
from functools import wraps
from time import monotonic
from typing import Any, Final, TypeVar

from bridge.runners.greenlets.descriptors import READ, WRITE, Wanted, wait_ready
from bridge.runners.greenlets.in_thread import run_in_thread
from bridge.runners.greenlets.worker import Worker, current_worker

T = TypeVar("T")

_select: Final = _module.select
_poll: Final[Any] = getattr(_module, "poll", None)
_epoll: Final[Any] = getattr(_module, "epoll", None)
_epoll_poll: Final[Any] = None if _epoll is None else _epoll.poll
#: What the kernel says of descriptors that an epoll set cannot watch.
_NOT_WATCHED: Final = (errno.EPERM, errno.EINVAL, errno.ELOOP)
#: What `select` calls an exceptional condition.
_URGENT: Final = getattr(_module, "POLLPRI", 0)


def patch() -> list[tuple[object, object]]:
    """Change what is a class, and return what is to be replaced everywhere."""
    pairs: list[tuple[object, object]] = [(_select, select)]
    if _poll is not None:
        pairs.append((_poll, poll))
    if _epoll is not None:
        _epoll.poll = epoll_poll
    return pairs


def _wait_for(
    worker: Worker,
    wanted: Wanted,
    seconds: float | None,
    ask: Callable[[], T],
    block: Callable[[], T],
) -> T:
    """In `worker`: return what `ask` returns, at last when something is there or time is up.

    `block` is the call that would block the thread.
    """
    deadline = None if seconds is None else monotonic() + seconds
    while True:
        left = None if deadline is None else max(deadline - monotonic(), 0)
        try:
            in_time = wait_ready(worker, wanted, left)
        except OSError as error:
            if error.errno not in _NOT_WATCHED:
                raise
            return run_in_thread(worker, block)
        found = ask()
        if found or not in_time:
            return found


def _is_time(value: object) -> bool:
    """Whether `value` is a time to wait; if not, the original says what is wrong with it."""
    return isinstance(value, (int, float)) and value > 0


# ------------------------------------------------------------- select


@wraps(_select)
def select(
    rlist: Iterable[Any],
    wlist: Iterable[Any],
    xlist: Iterable[Any],
    timeout: Any = None,
    /,
) -> tuple[list[Any], list[Any], list[Any]]:
    """Wait until one of some files is ready: other greenlets go on meanwhile."""
    worker = None if timeout == 0 else current_worker()
    if worker is None or (timeout is not None and not _is_time(timeout)):
        return _select(rlist, wlist, xlist, timeout)
    lists = [*rlist], [*wlist], [*xlist]
    found = _select(*lists, 0)
    if any(found):
        return found
    wanted: dict[int, int] = {}
    for files, events in zip(lists, (READ, WRITE, _URGENT), strict=True):
        for file in files:
            descriptor = file if isinstance(file, int) else file.fileno()
            wanted[descriptor] = wanted.get(descriptor, 0) | events

    def ask() -> Any:
        found = _select(*lists, 0)
        return found if any(found) else ()

    ready = _wait_for(worker, [*wanted.items()], timeout, ask, lambda: _select(*lists, timeout))
    return ready or ([], [], [])


# ------------------------------------------------------------- poll


class poll:
    """What `select.poll()` returns: it waits for files that are registered with it."""

    __slots__ = ("_events", "_poll")

    def __init__(self) -> None:
        self._poll = _poll()
        self._events: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int | None = None, /) -> None:
        """Wait for events of `fd` from now on: a descriptor, or what has a `fileno`."""
        events = READ | WRITE | _URGENT if eventmask is None else eventmask
        self._poll.register(fd, events)
        self._events[_descriptor(fd)] = events

    def modify(self, fd: Any, eventmask: int, /) -> None:
        """Wait for other events of `fd`, which is registered."""
        self._poll.modify(fd, eventmask)
        self._events[_descriptor(fd)] = eventmask

    def unregister(self, fd: Any, /) -> None:
        """Wait for `fd` no more."""
        self._poll.unregister(fd)
        self._events.pop(_descriptor(fd), None)

    def poll(self, timeout: Any = None, /) -> list[tuple[int, int]]:
        """Return what is ready, within `timeout` ms: other greenlets go on meanwhile."""
        worker = None if timeout == 0 else current_worker()
        if worker is None or not (timeout is None or isinstance(timeout, (int, float))):
            return self._poll.poll(timeout)  # type: ignore[no-any-return]
        found: list[tuple[int, int]] = self._poll.poll(0)
        if found:
            return found
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        # An error is told of even if no event was asked for.
        wanted = [(fd, events or _URGENT) for fd, events in self._events.items()]
        return _wait_for(
            worker, wanted, seconds, lambda: self._poll.poll(0), lambda: self._poll.poll(timeout)
        )


def _descriptor(file: Any) -> int:
    number: int = file if isinstance(file, int) else file.fileno()
    return number


# ------------------------------------------------------------- epoll


def epoll_poll(self: Any, timeout: Any = None, maxevents: int = -1) -> list[tuple[int, int]]:
    """`epoll.poll`: other greenlets go on meanwhile."""
    worker = None if timeout == 0 else current_worker()
    if worker is None or not (timeout is None or isinstance(timeout, (int, float))):
        return _epoll_poll(self, timeout, maxevents)  # type: ignore[no-any-return]
    found: list[tuple[int, int]] = _epoll_poll(self, 0, maxevents)
    if found:
        return found
    return _wait_for(
        worker,
        [(self.fileno(), READ)],
        None if timeout is None or timeout < 0 else timeout,
        lambda: _epoll_poll(self, 0, maxevents),
        lambda: _epoll_poll(self, timeout, maxevents),
    )


if _epoll_poll is not None:
    epoll_poll = wraps(_epoll_poll)(epoll_poll)
