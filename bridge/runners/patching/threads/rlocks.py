"""Locks that their owner may take again (G6): in the place of ``threading.RLock()``.

The owner is a greenlet, or a thread: what `get_ident` tells them apart by. So two greenlets of one
thread exclude each other.
"""

from __future__ import annotations

import _thread
from typing import Final, NoReturn

from bridge.runners.patching.threads.idents import get_ident
from bridge.runners.patching.threads.locks import Lock

#: That of threads.
RealRLock: Final = _thread.RLock


class RLock:
    """As `_thread.RLock`; a greenlet that waits for it lets others go on."""

    __slots__ = ("__weakref__", "_block", "_count", "_owner")

    def __init__(self) -> None:
        self._block = Lock()
        self._owner: int | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, once more if the caller has it; False if that fails in the time given."""
        caller = get_ident()
        if self._owner == caller:
            self._count += 1
            return True
        if self._block.acquire(blocking, timeout):
            self._owner = caller
            self._count = 1
            return True
        return False

    def __enter__(self) -> bool:
        caller = get_ident()
        if self._owner == caller:
            self._count += 1
            return True
        self._block.acquire()
        self._owner = caller
        self._count = 1
        return True

    def release(self) -> None:
        """Give it back, once. Raises RuntimeError if the caller does not have it."""
        if self._owner != get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._count = count = self._count - 1
        if not count:
            self._owner = None
            self._block.release()

    def __exit__(self, *error: object) -> None:
        self.release()

    def _is_owned(self) -> bool:
        return self._owner == get_ident()

    def _release_save(self) -> tuple[int, int | None]:
        if not self._count:
            raise RuntimeError("cannot release un-acquired lock")
        state = self._count, self._owner
        self._count, self._owner = 0, None
        self._block.release()
        return state

    def _acquire_restore(self, state: tuple[int, int | None]) -> None:
        """For conditions: a job that is interrupted while it waits has the lock back first."""
        self._block.acquire_whatever_happens()
        self._count, self._owner = state

    def _at_fork_reinit(self) -> None:
        self._block._at_fork_reinit()
        self._count, self._owner = 0, None

    if hasattr(RealRLock, "_recursion_count"):

        def _recursion_count(self) -> int:
            return self._count if self._owner == get_ident() else 0

    if hasattr(RealRLock, "locked"):

        def locked(self) -> bool:
            """Whether someone has it."""
            return self._count > 0

    def __repr__(self) -> str:
        state = "locked" if self._count else "unlocked"
        return (
            f"<{state} _thread.RLock object owner={self._owner or 0} count={self._count} "
            f"at {id(self):#x}>"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle '_thread.RLock' object")


def patch() -> list[tuple[object, object]]:
    """Return the lock of the standard library, and what is to be in its place."""
    return [(RealRLock, RLock)]
