"""Locks that were made before the patch."""

from __future__ import annotations

import _thread
import queue
import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest

from bridge.runners.patching.threads import held, locks, rlocks
from tests.runners.patching.threads.jobs import Begin, paused, run_jobs
from tests.support.programs import run


def test_a_library_that_was_imported_before() -> None:
    """G6: locks of modules, classes and their objects are changed; the same lock stays the same."""
    program = """
        from types import ModuleType
        import queue, sys, threading

        library = ModuleType("library")
        sys.modules["library"] = library
        exec('''
        import threading, queue
        from threading import Lock, RLock as Again
        lock = Lock()
        again = Again()
        taken = Lock()
        taken.acquire()
        condition = threading.Condition(lock)
        event = threading.Event()
        items = queue.Queue()
        class Pool:
            shared = threading.RLock()
            def __init__(self):
                self.lock = lock
                self.slots = threading.BoundedSemaphore(2)
                self.barrier = threading.Barrier(2)
        pool = Pool()
        class Proxy:
            __slots__ = ()
            def __getattr__(self, name): raise RuntimeError("it is used")
            __class__ = __dict__ = property(lambda self: self.x)
        proxy = Proxy()
        ''', library.__dict__)
        import bridge
        bridge.greenlet_patch()
        from bridge.runners.patching.threads.locks import Lock
        from bridge.runners.patching.threads.rlocks import RLock
        assert type(library.lock) is type(library.Lock()) is Lock
        assert type(library.again) is type(library.Again()) is RLock
        assert type(library.taken) is Lock and library.taken.locked()
        assert library.condition._lock is library.lock is library.pool.lock
        assert type(library.event._cond._lock) is Lock
        items = library.items
        assert type(items.mutex) is Lock
        assert items.not_empty._lock is items.not_full._lock is items.mutex
        assert type(library.Pool.shared) is RLock
        assert type(library.pool.slots._cond._lock) is Lock
        assert type(library.pool.barrier._cond._lock) is Lock
        import concurrent.futures.thread, logging
        assert type(concurrent.futures.thread._global_shutdown_lock) is Lock
        assert type(logging._lock) is not RLock
        print("all")
    """
    assert run("", program) == "all\n"


def test_in_use() -> None:
    """G6: who waits for a condition or a lock from before the patch goes on, thread or greenlet."""
    real: Any = rlocks.RealRLock()
    module: Any = ModuleType("in_use")
    module.taken = real
    module.lock = locks.make_real_lock()
    condition: Any = threading.Condition(locks.make_real_lock())
    module.condition = condition
    module.module = _thread
    real.acquire()
    got: list[bool] = []

    def wait() -> None:
        with condition:
            got.append(condition.wait(60))

    thread = threading.Thread(target=wait)
    thread.start()
    while not condition._waiters:
        time.sleep(0.001)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "modules", {"in_use": module})
        held.replace_held()
    assert module.taken is real, "it is not free"
    assert type(condition._lock) is locks.Lock
    old = module.lock._real

    async def main(begin: Begin) -> None:
        old.acquire()
        call = begin(module.lock.acquire)
        await paused(call)
        old.release()
        assert await call.done is True

        def notify() -> None:
            with condition:
                condition.notify()

        await begin(notify).done
        await begin(thread.join).done

    run_jobs(main)
    assert got == [True]
    assert isinstance(queue.Queue().mutex, locks.Lock)
