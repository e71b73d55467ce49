"""Things of which each process has its own."""

from __future__ import annotations

import os
import threading

from bridge.loops.by_process import ByProcess


def test_it_is_made_once() -> None:
    """L6: whichever threads ask first."""
    made: list[object] = []

    def make() -> object:
        made.append(found := object())
        return found

    own = ByProcess(make)
    threads = [threading.Thread(target=own.get) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [own.get()]


def test_a_child_makes_its_own() -> None:
    """L6: what it has inherited stays as it is, a lock that was held too."""
    own = ByProcess(lambda: [os.getpid()])
    inherited = own.get()
    other = ByProcess(lambda: [os.getpid()])
    other._lock.acquire()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        told = (own.get(), other.get(), inherited)
        os.write(writer, repr(told).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1000).decode() == repr(([child], [child], [os.getpid()]))
    assert own.get() is inherited
    other._lock.release()
    assert other.get() == [os.getpid()]


def test_in_the_child_itself() -> None:
    """L6: as it looks there."""
    own = ByProcess(object)
    first = own.get()
    own.forked()
    assert own.get() is not first
