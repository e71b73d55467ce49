"""Descriptors that greenlets wait for (G6): one watch for all of them in each runner.

On Linux all are in one epoll set, whose own descriptor the loop watches: to wait costs one call of
the kernel, and a descriptor may belong to a transport of the loop, which uvloop refuses to watch
twice. Each entry tells once (EPOLLONESHOT): one that nobody waits for any more tells nothing. The
kernel forgets it when the descriptor is closed; what is kept of that here may be wrong. Elsewhere
the loop watches each descriptor itself.

Several greenlets may wait for one descriptor; all of them are woken, and look for themselves.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias
from weakref import ref

from bridge.runners.greenlets.waiting import GreenletWaiter
from bridge.runners.greenlets.worker import Worker

READ: Final = select.POLLIN
WRITE: Final = select.POLLOUT
#: What ends every wait: an error, or a peer that has hung up.
_FAILED: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


#: Descriptors that are told of in one step of the loop; the others follow in the next.
_AT_ONCE: Final = 128

#: What a wait is for: descriptors, each with its events.
Wanted: TypeAlias = Sequence[tuple[int, int]]


class _Wait(GreenletWaiter):
    """One greenlet's wait for some descriptors."""

    __slots__ = ("closed", "ready")

    def __init__(self, worker: Worker) -> None:
        GreenletWaiter.__init__(self, worker)
        #: What is ready: events by descriptor.
        self.ready: dict[int, int] = {}
        #: Whether one of them is about to be closed.
        self.closed = False


class Watch(Protocol):
    """What tells that a descriptor is ready."""

    def set(self, descriptor: int, events: int) -> None:
        """Tell once of any of `events`; 0: of none. Raises OSError if that cannot be."""

    def forget(self, descriptor: int) -> None:
        """`descriptor` is about to be closed. From any thread."""

    def close(self) -> None:
        """Tell no more."""


#: Told once that a descriptor is ready, and for which events.
OnReady: TypeAlias = Callable[[int, int], None]


class DescriptorWatch:
    """The descriptors for which greenlets of one runner wait."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        #: Made with the first wait.
        self._watch: Watch | None = None
        #: Who waits for a descriptor, and for which events.
        self._waits: dict[int, list[tuple[_Wait, int]]] = {}

    def wait(self, worker: Worker, wanted: Wanted, timeout: float | None = None) -> dict[int, int]:
        """In `worker`: wait as `wait_ready` says."""
        watch = self._watch or self._open()
        wait, watched = _Wait(worker), []
        try:
            for descriptor, events in wanted:
                others = self._waits.get(descriptor)
                watched.append(descriptor)
                if others is None:
                    self._waits[descriptor] = [(wait, events)]
                    watch.set(descriptor, events)
                else:
                    others.append((wait, events))
                    self._set(descriptor)
            wait.wait(timeout)
        finally:
            for descriptor in watched:
                self._remove(descriptor, wait)
        if wait.closed:
            raise OSError(errno.EBADF, "the descriptor was closed while a greenlet waited for it")
        return wait.ready

    def _open(self) -> Watch:
        kind = EpollWatch if hasattr(select, "epoll") else LoopWatch
        self._watch = kind(self._loop, self.on_ready)
        _open_watches.append(ref(self, _open_watches.remove))
        return self._watch

    def tell_closing(self, descriptor: int) -> None:
        """End the waits for `descriptor` with an error."""
        if self._watch is not None:
            self._watch.forget(descriptor)
        for wait, _ in self._waits.get(descriptor, ()):
            wait.closed = True
            wait.wake()

    def on_ready(self, descriptor: int, events: int) -> None:
        """In the loop: wake those that wait for any of `events`."""
        waits = self._waits.get(descriptor)
        if waits is None:
            return
        others = False
        for wait, wanted in tuple(waits):
            happened = events & (wanted | _FAILED)
            if happened:
                wait.ready[descriptor] = happened
                wait.wake_now()
            else:
                others = True
        if others and descriptor in self._waits:
            try:
                self._set(descriptor)
            except OSError:  # one that was woken has closed it, and nobody was told
                self.tell_closing(descriptor)

    def close(self) -> None:
        """Watch no more: nobody waits."""
        if self._watch is not None:
            _open_watches.remove(ref(self))
            self._watch.close()
            self._watch = None

    def _set(self, descriptor: int) -> None:
        events = 0
        for _, wanted in self._waits[descriptor]:
            events |= wanted
        assert self._watch is not None
        self._watch.set(descriptor, events)

    def _remove(self, descriptor: int, wait: _Wait) -> None:
        waits = self._waits[descriptor]
        if len(waits) > 1:
            left = self._waits[descriptor] = [each for each in waits if each[0] is not wait]
            if left:
                return
        del self._waits[descriptor]
        if self._watch is not None and descriptor not in wait.ready and not wait.closed:
            self._watch.set(descriptor, 0)


#: All that may have a wait for a descriptor that is about to be closed. Each socket that is closed
#: is told to them, in whatever thread: a `WeakSet` would take longer than that.
_open_watches: Final[list[ref[DescriptorWatch]]] = []


def wait_ready(worker: Worker, wanted: Wanted, timeout: float | None = None) -> dict[int, int]:
    """In `worker`: wait until one of some descriptors is ready.

    `wanted` has pairs of a descriptor and the events that are wanted, `READ`, `WRITE` or both;
    `timeout` is in seconds. Returns what is ready, events by descriptor: there may be an error
    among them; empty: the time is up. Look again: another greenlet may have been faster, or what
    was ready is what had that number before, and lives on as a copy (`os.dup`, a fork). Raises
    OSError if a descriptor cannot be watched, or is closed meanwhile, and what interrupts the job.
    """
    watch: DescriptorWatch = worker.owner.descriptors
    return watch.wait(worker, wanted, timeout)


def tell_closing(descriptor: int) -> None:
    """Before `descriptor` is closed, say so to those that wait for it."""
    for reference in tuple(_open_watches):
        watch = reference()
        if watch is not None:
            watch.tell_closing(descriptor)


#: An entry that should be changed is not there; one that should be made is there.
_OTHER_WAY: Final = (errno.ENOENT, errno.EEXIST)
#: An entry tells once.
_ONCE: Final = getattr(select, "EPOLLONESHOT", 0)
_Change: TypeAlias = Callable[[int, int], object]


class EpollWatch:
    """One epoll set, which the loop watches."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: OnReady) -> None:
        self._loop = loop
        self._set = select.epoll()
        self._modify: _Change = self._set.modify
        self._register: _Change = self._set.register
        #: Descriptors that are in the set, as far as is known.
        self._known: set[int] = set()
        self._on_ready = on_ready
        loop.add_reader(self._set.fileno(), self._collect)

    def set(self, descriptor: int, events: int) -> None:
        """Tell once of any of `events` (`Watch`)."""
        first, second = self._modify, self._register
        if descriptor not in self._known:
            if not events:
                return
            first, second = second, first
            self._known.add(descriptor)
        try:
            first(descriptor, events | _ONCE)
        except OSError as error:
            if not events:
                return  # it is closed, and the kernel has forgotten it
            if error.errno not in _OTHER_WAY:
                raise
            second(descriptor, events | _ONCE)

    def forget(self, descriptor: int) -> None:
        """`descriptor` is about to be closed (`Watch`)."""
        self._known.discard(descriptor)

    def close(self) -> None:
        """Tell no more (`Watch`)."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._set.fileno())
        self._set.close()

    def _collect(self) -> None:
        for descriptor, events in self._set.poll(0, _AT_ONCE):
            self._on_ready(descriptor, events)


class LoopWatch:
    """The loop watches each descriptor; a copy of it if that belongs to one of its transports."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_ready: OnReady) -> None:
        self._loop = loop
        self._on_ready = on_ready
        #: Those that are watched, each with its copy, or itself.
        self._watched: dict[int, int] = {}

    def set(self, descriptor: int, events: int) -> None:
        """Tell once of any of `events` (`Watch`)."""
        self._forget(descriptor)
        if not events:
            return
        try:
            self._add(descriptor, descriptor, events)
            self._watched[descriptor] = descriptor
        except RuntimeError:  # uvloop: it is used by a transport
            copy = self._watched[descriptor] = os.dup(descriptor)
            self._add(descriptor, copy, events)

    def forget(self, descriptor: int) -> None:
        """`descriptor` is about to be closed (`Watch`); the loop is told when the waits end."""

    def close(self) -> None:
        """Tell no more (`Watch`)."""
        for descriptor in tuple(self._watched):
            self._forget(descriptor)

    def _add(self, descriptor: int, watched: int, events: int) -> None:
        if events & READ:
            self._loop.add_reader(watched, self._tell, descriptor, READ)
        if events & WRITE:
            self._loop.add_writer(watched, self._tell, descriptor, WRITE)

    def _tell(self, descriptor: int, events: int) -> None:
        self._forget(descriptor)
        self._on_ready(descriptor, events)

    def _forget(self, descriptor: int) -> None:
        watched = self._watched.pop(descriptor, None)
        if watched is None:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(watched)
            self._loop.remove_writer(watched)
        if watched != descriptor:
            os.close(watched)
