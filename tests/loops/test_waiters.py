"""Waiting, in threads and (in a process of its own, where gevent is patched in) in greenlets."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from types import ModuleType

import pytest

from bridge.loops.waiters import (
    NativeThread,
    ThreadWaiter,
    threading_is_patched,
    threads_replaced_by,
    waiter,
    waits_in_gevent,
)


class TestThreadWaiter:
    def test_wait_and_wake(self) -> None:
        """A34: the flag wakes one wait, and is down again after it."""
        flag = ThreadWaiter()
        threading.Thread(target=flag.wake).start()
        assert flag.wait(10)
        assert not flag.wait(0)

    def test_raised_twice_is_raised(self) -> None:
        """A34: raising a raised flag is nothing, so that no wake-up has to be counted."""
        flag = ThreadWaiter()
        flag.wake()
        flag.wake()
        assert flag.wait(0)
        assert not flag.wait(0)

    def test_is_what_a_thread_gets(self) -> None:
        """A33: if there is no gevent hub, the caller waits as a thread."""
        assert isinstance(waiter(), ThreadWaiter)
        assert not threading_is_patched()


class TestNativeThread:
    def test_unseen(self) -> None:
        """A33: an unseen thread runs, ends and is joined, and `threading` does not know it."""
        go, heard = ThreadWaiter(), ThreadWaiter()
        before = threading.enumerate()
        thread = NativeThread(lambda: (go.wait(10), heard.wake()), "unseen", registered=False)
        thread.start()
        assert threading.enumerate() == before
        assert not thread.join(0.01)
        go.wake()
        assert heard.wait(10)
        assert thread.join(10)

    def test_runs_and_ends(self) -> None:
        """A30: join tells whether the thread has ended."""
        go, seen = threading.Event(), []
        thread = NativeThread(lambda: (go.wait(), seen.append(threading.current_thread())), "mine")
        thread.start()
        assert not thread.join(0.001)
        go.set()
        assert thread.join(10)
        assert thread.join(10)
        assert seen[0].name == "mine"
        assert not seen[0].is_alive()


PATCHED = """
from gevent import monkey; monkey.patch_all()
import _thread, asyncio, selectors, threading, time
import gevent
from bridge.loops.waiters import GeventWaiter, NativeThread, ThreadWaiter, waiter
from bridge.loops.waiters import threading_is_patched, threads_replaced_by, unpatched
from bridge.loops.waiters import waits_in_gevent

assert threading_is_patched()
mine = unpatched("get_ident")()

# a greenlet waits, others run, a real thread wakes it
ran, where = [], []
gevent.spawn(ran.append, "other")
flag = waiter()
assert isinstance(flag, GeventWaiter)
def wake():
    where.append(unpatched("get_ident")())
    assert isinstance(waiter(), ThreadWaiter)  # no hub in this thread
    flag.wake()
thread = NativeThread(wake, "waker")
thread.start()
assert flag.wait(10)
assert thread.join(10)
assert ran == ["other"] and where != [mine]
assert not flag.wait(0.001)
flag.wake(); flag.wake()
assert flag.wait(10)

# the hub itself cannot wait, and another thread than the hub's has none
waiters = []
gevent.get_hub().loop.run_callback(lambda: waiters.append(waiter()))
gevent.sleep(0)
assert isinstance(waiters[0], ThreadWaiter)

# which loops run greenlets
assert threads_replaced_by() == "gevent"
loop = asyncio.SelectorEventLoop(selectors.DefaultSelector())
assert waits_in_gevent(loop)
loop.close()
print("good")
"""


def test_what_has_replaced_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A33, W52: eventlet is told as gevent is; an ordinary loop runs no greenlets."""
    assert threads_replaced_by() == ""
    patcher = ModuleType("eventlet.patcher")
    patched = {"socket": True}
    patcher.is_monkey_patched = lambda name: name in patched  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "eventlet.patcher", patcher)
    assert threads_replaced_by() == ""
    patched["thread"] = True
    assert threads_replaced_by() == "eventlet"
    loop = asyncio.SelectorEventLoop()
    assert not waits_in_gevent(loop)
    assert not waits_in_gevent(object())
    loop.close()


def test_greenlets() -> None:
    """A33: under gevent a wait lets other greenlets run, and a native thread can end it."""
    done = subprocess.run([sys.executable, "-c", PATCHED], capture_output=True, timeout=60)
    assert done.stdout == b"good\n", done.stderr.decode()
