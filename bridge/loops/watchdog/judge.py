"""Whether one call holds the loop for too long. Pure: it is told what each look has seen.

What counts is the time for which the call itself has held the loop: it ran, or it slept in a call
of the system. What does not count is the time in which the loop's thread would have run but could
not: it waited for a processor, or for other threads to give up Python's lock, or the whole process
stood still. A look that comes late is the sign of this: the thread that looks has to wait for the
same things.

    of the time between two looks, the loop's thread has
        run                     counts
        waited for a processor  does not count
        slept                   counts, without the time by which the look was late; not if it
                                was woken all the time, as a thread is that waits for the lock

One call may hold Python's lock, too (a function written in C): then no look comes meanwhile, and
the loop's thread runs for all that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

#: A call blocks the loop from this part of the limit on: no look comes to the microsecond.
_NEARLY: Final = 0.9
#: The part of a time in which no other thread could run that the loop's thread wanted to run.
_ALONE: Final = 0.8
#: A thread that waits for Python's lock is woken after each 5 ms, to say that it wants it. If the
#: look had to wait for the lock, what is woken more often than once in this time waits, too.
_LONG_SLEEP: Final = 0.01
_SHORT_WAIT: Final = 0.003


class Look(NamedTuple):
    """What is seen of the loop's thread at one moment; times in seconds."""

    time: float  #: of `time.monotonic`
    ran: float  #: for how long it has run so far
    waited: float  #: for how long it has waited for a processor so far
    turns: int = 0  #: how often it was given one
    runnable: bool = False  #: whether it would run now if it had a processor
    late: float = 0.0  #: how much later than planned the look is
    locked_out: float = 0.0  #: for how long of that it waited for Python's lock


@dataclass(slots=True)
class Held:
    """One call that holds the loop, as far as two looks can tell that it is one."""

    #: What is equal at two looks if it is the same call.
    key: object
    #: Since when, as far as is known.
    since: float
    #: For how long it has held the loop by itself.
    seconds: float
    #: Whether that is too long.
    blocks: bool = False
    #: Whether it let no other thread run before the first look at it.
    alone: bool = False


class Judge:
    """Judges the looks at one loop: `look` at each, `turned` if the loop has turned before it."""

    def __init__(self, limit: float) -> None:
        self._enough = limit * _NEARLY
        self._last: Look | None = None
        self._held: Held | None = None

    def turned(self, look: Look, at: float) -> Held | None:
        """Note that the loop has turned `at` that time; return what had blocked it until then."""
        held, self._held = self._held, None
        if held is None or not held.blocks:
            return None
        if self._last is not None:
            held.seconds += max(0.0, min(at - self._last.time, _held(self._last, look)))
        return held

    def look(self, look: Look, key: object) -> Held | None:
        """Return the call that blocks the loop; None if none does.

        `key`: of the call that is seen; None if no code of the app's is.
        """
        last, self._last = self._last or look, look
        held = self._held
        if held is not None and held.blocks:
            if key == held.key:
                held.seconds += _held(last, look)
            return held
        if key is None:
            self._held = None
            return None
        if held is not None and held.key == key:
            held.seconds += _held(last, look)
        else:
            alone = _held_alone(last, look)
            held = self._held = Held(key, look.time - alone, alone, alone=alone >= self._enough)
        held.blocks = held.seconds >= self._enough
        return held if held.blocks else None


def _held(last: Look, look: Look) -> float:
    """Return for how long of the time between two looks a call has held the loop by itself."""
    ran = max(look.ran - last.ran, 0.0)
    slept = look.time - last.time - ran - (look.waited - last.waited)
    if look.locked_out > _SHORT_WAIT and slept < (look.turns - last.turns) * _LONG_SLEEP:
        slept = 0.0
    if look.runnable:  # what seems to be sleep is a wait for a processor that is not over yet
        slept = 0.0
    return ran + max(slept - look.late, 0.0)


def _held_alone(last: Look, look: Look) -> float:
    """Return for how long a call that is seen for the first time has let no other thread run."""
    ran = look.ran - last.ran
    wanted_to_run = ran + look.waited - last.waited
    return min(ran, look.locked_out) if wanted_to_run >= look.locked_out * _ALONE else 0.0
