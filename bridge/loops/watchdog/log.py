"""What blocks a loop, in the log: what a line of code does again and again is told now and then.

So is a call that blocks it for long. Nobody can end it from outside of its process if it is in C.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bridge.errors import pluralize
from bridge.log import logger
from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.stack import Place, Stack

#: Seconds between two times that one line of code is told.
PERIOD: Final = 10.0
#: A block is told again when it has lasted for so many seconds, and each time it has lasted for so
#: many times longer.
_LONG: Final = 2.0
_LONGER: Final = 4
#: The most lines of code that are remembered for this.
_MOST_PLACES: Final = 256


@dataclass(slots=True)
class _Told:
    """A line of code that was told at a time of `time.monotonic`; and its blocks since then."""

    at: float
    count: int = 0
    seconds: float = 0.0


class BlockLog:
    """Writes warnings: a block is found, lasts for long, ends (`Observer`)."""

    def __init__(self, is_patched: Callable[[], bool] = lambda: True) -> None:
        """`is_patched`: whether calls of the standard library wait cooperatively in greenlets."""
        self._is_patched = is_patched
        self._told: dict[Place, _Told] = {}
        #: The block that is told now: its end is told, too.
        self._current: Block | None = None
        #: How long it has lasted when it is told again.
        self._again = _LONG

    def __call__(self, block: Block) -> None:
        """Tell of `block`, unless its line was told not long ago."""
        place = block.stack.place
        told = self._told.get(place)
        if block is self._current:
            if block.ended:
                self._current = None
                logger.warning(
                    "the event loop turns again: it was blocked for %s %s",
                    block.duration,
                    block.by,
                )
            elif block.lasted >= self._again:
                self._again *= _LONGER
                logger.warning("the event loop is still blocked, for %s %s%s", *_lasting(block))
        elif told is not None and (block.ended or block.lasted < _LONG):
            if block.ended:
                told.count += 1
                told.seconds += block.seconds
        elif not block.ended:
            self._remember(place, block.since)
            self._current, self._again = block, _LONG
            logger.warning("%s", _warning(block, self._is_patched()))

    def _remember(self, place: Place, now: float) -> None:
        if len(self._told) >= _MOST_PLACES:
            del self._told[next(iter(self._told))]
        self._told[place] = _Told(now)

    def look(self, now: float) -> None:
        """Tell how often each line has blocked the loop since it was told, if it is time."""
        if not self._told:
            return
        for place, told in list(self._told.items()):
            if now - told.at < PERIOD:
                continue
            del self._told[place]
            if told.count:
                self._told[place] = _Told(now)
                logger.warning(
                    "the event loop was blocked %s in %.0f s, for %.2f s in all, at %s",
                    pluralize(told.count, "more time"),
                    now - told.at,
                    told.seconds,
                    place,
                )


def _warning(block: Block, patched: bool) -> str:
    stack = block.stack
    alone = "; it lets no other thread run" if block.alone else ""
    return (
        f"the event loop has been blocked for {block.duration} {block.by}{alone}. "
        f"{_advice(stack, patched)}\n{stack.text}"
    )


def _lasting(block: Block) -> tuple[str, str, str]:
    """Return for how long, by what, and what comes of that."""
    what = (
        ". Nothing else is served until that returns, and it cannot be ended if it is a call in C; "
        "where there are several workers, one that is blocked for timeout_worker is replaced"
    )
    return block.duration, block.by, what


def _advice(stack: Stack, patched: bool) -> str:
    """Say what to do with a call that blocks."""
    if stack.kind == "WSGI" and stack.in_greenlet and not patched:
        return (
            "Start with --patch, with which sleeps, sockets and locks let other requests go on. "
            "Run other calls by bridge.in_thread, or the app with --runner thread:"
        )
    if stack.kind == "WSGI" and stack.in_greenlet:
        return "Run such calls by bridge.in_thread, or the app with --runner thread:"
    if stack.kind == "WSGI":
        return "The runner inline is for apps that never block; take --runner thread:"
    return "Run such calls in a thread (asyncio.to_thread):"
