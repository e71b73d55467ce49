"""A share that climbs by itself, step by step, while the gate holds (M21). Pure.

    state         what comes next
    climbs        the next step, once the step's time is over and the gate holds
    waits         the same, as soon as there are enough requests: the step's time is over
    by hand       nothing: a person has set a share that is no step, which goes before the steps
    at the top    nothing: this is the last step
    rolled back   nothing: the gate has broken, and the mode of the route is ``old``; a person
                  sets it to ``canary`` again, which begins with the share that is set then

`Climb.look` is called with the verdict of the gate, `go_to` when a person has set another share.
A step that a person sets begins anew, and the next ones follow. Times are those of a clock that the
caller reads.

After a restart of the server, the share that is kept with the switches tells the step, and the time
of that step begins anew: a step is never shorter than it should be.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from bridge.arguments.checks import Check
from bridge.arguments.values import VALUE_TYPES, ValueType
from bridge.cutover.canary.gates import HOLDS, Verdict, number
from bridge.errors import ConfigError

CLIMBS: Final = "climbs"
WAITS: Final = "waits"
BY_HAND: Final = "by hand"
AT_THE_TOP: Final = "at the top"
ROLLED_BACK: Final = "rolled back"

_SHARE: Final = Check(
    type=ValueType("a number of percent", "PERCENT", number), minimum=0.01, maximum=100
)
_TIME: Final = Check(type=VALUE_TYPES["Seconds"], minimum=1)


@dataclass(frozen=True)
class Steps:
    """Shares in percent, each larger than the one before, and how long each of them lasts.

    `times`: a time for all steps, or a list with one for each; that of the last may be left out.
    Raises `ConfigError`.
    """

    shares: Any
    times: Any = "10m"

    def __post_init__(self) -> None:
        """Check both, and read what is text."""
        shares = tuple(_SHARE.read(each, "a share in steps") for each in _listed(self.shares))
        if not shares or any(one >= other for one, other in pairwise(shares)):
            raise ConfigError(
                f"steps is {self.shares!r}; allowed are shares, each larger than the one before, "
                "such as [1, 5, 25, 50, 100]"
            )
        times = self.times
        each = list(times) if isinstance(times, list | tuple) else [times] * len(shares)
        if len(each) == len(shares) - 1:
            each.append(1)  # the last step has no end
        if len(each) != len(shares):
            raise ConfigError(
                f"step_time has {len(each)} times for {len(shares)} steps; give one for each, "
                'or one for all, such as "10m"'
            )
        object.__setattr__(self, "shares", shares)
        object.__setattr__(self, "times", tuple(_TIME.read(one, "step_time") for one in each))

    def step_of(self, share: float) -> int:
        """Return the number of the last step that is not above `share`; -1 before the first."""
        return sum(1 for each in self.shares if each <= share) - 1


def _listed(value: object) -> Iterable[object]:
    return value if isinstance(value, list | tuple) else ()


class Climb:
    """How far one route has come; see the table above.

    `share`: the one that is set; None begins with the first step. A share that is no step was set
    by hand.
    """

    def __init__(self, steps: Steps, now: float, share: float | None = None) -> None:
        self._steps = steps
        self._since = now
        self.share: float = steps.shares[0] if share is None else share
        self.state = self._state_at(self.share)

    @property
    def _step(self) -> int:
        return self._steps.step_of(self.share)

    def look(self, now: float, verdict: Verdict) -> float | None:
        """Return the next share, if it is time and the gate holds; None: nothing changes."""
        if self.state not in (CLIMBS, WAITS) or self.left(now) > 0:
            return None
        if verdict.state != HOLDS:
            self.state = WAITS
            return None
        self.go_to(self._steps.shares[self._step + 1], now)
        return self.share

    def left(self, now: float) -> float:
        """Return how many seconds of the step's time are left."""
        time: float = self._steps.times[self._step] if self._step >= 0 else 0.0
        return max(0.0, self._since + time - now)

    def go_to(self, share: float, now: float) -> None:
        """Go on from `share` if that is a step; else stay there until a person says else."""
        self.share, self._since = share, now
        self.state = self._state_at(share)

    def _state_at(self, share: float) -> str:
        shares = self._steps.shares
        if share not in shares:
            return BY_HAND
        return AT_THE_TOP if share == shares[-1] else CLIMBS
