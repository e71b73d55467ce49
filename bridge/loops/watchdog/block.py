"""What the watchdog tells of a call that blocks a loop, and to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from bridge.loops.watchdog.stack import Stack

#: A block that has lasted longer than it would by itself is told so, from this part of it on.
_MOST_OF_IT: Final = 0.75


@dataclass(slots=True)
class Block:
    """One call that blocks the loop, or has; it is the same object from its first look on."""

    #: What runs, at the look that found it.
    stack: Stack
    #: The thread of the loop, as `threading.get_ident` names it.
    thread: int
    #: When it began, as `time.monotonic` tells it: it may be half the limit earlier.
    since: float
    #: Whether it let no other thread run: a function in C that holds Python's lock.
    alone: bool
    #: For how long the call has held the loop so far: it ran, or slept in a call of the system.
    seconds: float = 0.0
    #: How long that took: the thread may have waited for a processor, or the process stood still.
    lasted: float = 0.0
    #: Whether it is over.
    ended: bool = False

    @property
    def duration(self) -> str:
        """Say for how long, and how long that has taken if it is much more."""
        text = f"{self.seconds:.2f} s"
        if self.seconds > _MOST_OF_IT * self.lasted:
            return text
        return f"{text} (of {self.lasted:.2f} s; for the rest it could not run)"

    @property
    def by(self) -> str:
        """Say what blocks the loop: the request, and the line."""
        stack = self.stack
        by = f"by {stack.request}, " if stack.request else ""
        inner = stack.places[-1]
        within = f", in {inner}" if inner != stack.place else ""
        return f"{by}at {stack.place}{within}"


#: Called in the watchdog's thread: when a block is found, at each look while it lasts, and at its
#: end.
Observer: TypeAlias = Callable[[Block], object]
