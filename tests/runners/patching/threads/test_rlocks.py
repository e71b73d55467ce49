"""Locks that their owner may take again."""

from __future__ import annotations

import asyncio
import pickle
import threading
import time
from typing import Any

import pytest

from bridge.runners.patching.threads import rlocks
from bridge.runners.patching.threads.rlocks import RLock
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs


def test_the_interface() -> None:
    """G6: it has all that the lock of the standard library has, and looks like it."""
    lock, real = threading.RLock(), rlocks.RealRLock()
    assert type(lock) is RLock
    assert {name for name in dir(real) if not name.startswith("__")} <= {*dir(lock)}
    for each in (lock, real):
        private: Any = each
        assert each.acquire() is True
        assert each.acquire(False) is True
        with each as entered:
            assert entered is True
            if hasattr(rlocks.RealRLock, "_recursion_count"):
                assert private._recursion_count() == 3
        state = private._release_save()
        assert state == (2, threading.get_ident())
        assert not private._is_owned()
        private._acquire_restore(state)
        assert private._is_owned()
        assert f"locked _thread.RLock object owner={threading.get_ident()} count=2" in repr(each)
        each.release()
        each.release()
        assert "unlocked _thread.RLock object owner=0 count=0" in repr(each)
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            each.release()
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            private._release_save()
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(each)
        each.acquire()
        private._at_fork_reinit()
        assert not private._is_owned()


def test_greenlets_exclude_each_other() -> None:
    """G6: two greenlets of one thread never have it both, however often each takes it."""

    async def main(begin: Begin) -> None:
        lock, inside = threading.RLock(), []

        def job() -> None:
            with lock, lock:
                me = threading.get_ident()
                inside.append(me)
                time.sleep(0.001)
                with lock:
                    assert inside == [me]
                inside.remove(me)

        await asyncio.gather(*(begin(job).done for _ in range(30)))

    run_jobs(main)


def test_greenlets_and_threads() -> None:
    """G6: a thread does not own what a greenlet in it has, nor the other way round."""

    async def main(begin: Begin) -> None:
        lock: Any = threading.RLock()
        lock.acquire()
        call = begin(lock.acquire)
        await paused(call)
        lock.release()
        assert await call.done is True
        assert not lock._is_owned()
        assert lock.acquire(False) is False
        assert lock.acquire(timeout=100) is False  # at once: it could never get it
        with pytest.raises(RuntimeError, match="cannot release un-acquired lock"):
            lock.release()

    run_jobs(main)


def test_a_coroutine_that_begins_in_a_greenlet() -> None:
    """G6: it is the loop's, from its first step on; what it takes there it can give back later."""

    async def main(begin: Begin) -> None:
        lock: Any = threading.RLock()

        async def coroutine() -> bool:
            lock.acquire()
            await asyncio.sleep(0.001)
            owned: bool = lock._is_owned()
            lock.release()
            return owned

        assert await begin(lambda: begin.runner.wait(coroutine())).done is True

    run_jobs(main)
