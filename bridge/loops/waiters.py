"""How the code of a WSGI host waits for another thread: in a thread, or in a gevent greenlet (A33).

A host calls a WSGI app in a thread of its own, or in a greenlet that shares one thread with all
the others. A thread may block; a greenlet must give the thread away while it waits, or it stops
every request of its worker. `waiter()` looks where it is called and returns what fits. For tasks
of one loop there is `bridge.loops.wait_queue`.

gevent is never imported here: unless it is loaded, nothing runs on it. It also replaces
`threading`, when asked to (``monkey.patch_all()``), so that "threads" are greenlets; real threads
are then made with the functions that gevent has put aside.
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

#: The longest time that a thread can wait, in seconds.
FOREVER = threading.TIMEOUT_MAX


class Waiter(Protocol):
    """A flag that one thread or greenlet waits for, and that any thread may raise."""

    def wait(self, timeout: float) -> bool:
        """Wait until the flag is up, at most `timeout` s, and lower it; False: the time is up."""

    def wake(self) -> None:
        """Raise the flag; does nothing if it is up already. From any thread."""


class ThreadWaiter:
    """Waits by blocking its thread."""

    __slots__ = ("_acquire", "_release")

    def __init__(self) -> None:
        lock: threading.Lock = unpatched("allocate_lock")()
        lock.acquire()
        self._acquire = lock.acquire
        self._release = lock.release

    def wait(self, timeout: float) -> bool:
        """Wait until the flag is up, at most `timeout` s."""
        return self._acquire(True, timeout)

    def wake(self) -> None:
        """Raise the flag."""
        try:
            self._release()
        except RuntimeError:
            pass  # it is up already


class GeventWaiter:
    """Waits by giving the thread to the other greenlets of its hub.

    The event itself is only touched in the hub's thread: another thread asks the hub to set it.
    """

    __slots__ = ("_call_in_hub", "_event")

    def __init__(self, hub: Any) -> None:
        self._event = sys.modules["gevent.event"].Event()
        self._call_in_hub = hub.loop.run_callback_threadsafe

    def wait(self, timeout: float) -> bool:
        """Wait until the flag is up, at most `timeout` s."""
        raised: bool = self._event.wait(timeout)
        self._event.clear()
        return raised

    def wake(self) -> None:
        """Raise the flag."""
        self._call_in_hub(self._event.set)


def waiter() -> Waiter:
    """Make a flag that the caller can wait for: a greenlet's in gevent's greenlets."""
    if not gevent_is_loaded():
        return ThreadWaiter()
    # gevent.get_hub() would make a hub if there is none, in a thread of gevent's own pool, say.
    hub = sys.modules["gevent._hub_local"].get_hub_if_exists()
    if hub is None or sys.modules["gevent"].getcurrent() is hub:
        return ThreadWaiter()
    return GeventWaiter(hub)


def gevent_is_loaded() -> bool:
    """Whether a caller may be a greenlet of gevent's at all."""
    return "gevent.event" in sys.modules


def threading_is_patched() -> bool:
    """Whether gevent has put greenlets in the place of threads in this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def threads_replaced_by() -> str:
    """Return the library that has replaced threads with greenlets here; "" if none has."""
    if threading_is_patched():
        return "gevent"
    patcher = sys.modules.get("eventlet.patcher")
    return "eventlet" if patcher is not None and patcher.is_monkey_patched("thread") else ""


def waits_in_gevent(loop: Any) -> bool:
    """Whether an event loop lets gevent's greenlets run while it waits."""
    return type(getattr(loop, "_selector", None)).__module__.startswith("gevent.")


#: What `bridge.greenlet_patch` replaces: the originals, as they were when this was imported.
_originals = {name: getattr(_thread, name) for name in ("allocate_lock", "get_ident")}


def unpatched(name: str, module: ModuleType = _thread) -> Any:
    """`module`'s attribute of that name, as it was before gevent, or we, replaced it."""
    if module is _thread and name in _originals and not threading_is_patched():
        return _originals[name]
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(module, name)
    return monkey.get_original(module.__name__, name)


class NativeThread:
    """A daemon thread of the operating system, even if `threading` makes greenlets.

    One that is not `registered` is unknown to `threading`: an app that has gevent patch it while it
    runs must be alone there, or gevent leaves locks that are held to their old owners, and the
    import that patches fails. Such a thread must not ask `threading` for anything.
    """

    def __init__(self, main: Callable[[], object], name: str, *, registered: bool = True) -> None:
        self._main = main
        self._name = name
        self._registered = registered
        self._ended = unpatched("allocate_lock")()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._ended.acquire()
        if not self._registered or threading_is_patched():
            unpatched("start_new_thread")(self._run, ())
        else:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def join(self, timeout: float) -> bool:
        """Wait until the thread has ended, at most `timeout` s; whether it has."""
        if not self._ended.acquire(True, timeout):
            return False
        self._ended.release()
        if self._thread is not None:
            self._thread.join(timeout)
        return True

    def _run(self) -> None:
        main = self._main
        del self._main  # whose object may hold us: no cycle is left behind
        try:
            main()
        finally:
            self._ended.release()
