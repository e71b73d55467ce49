"""Gates: by how much the new app may be worse than the old one before it is taken back (M21). Pure.

A gate breaks only if both of these are true:

- what is counted is above its limit: so many points more errors, so many points more client
  errors (such as a 404 for all, since a path is written in another way), a p95 so many times as
  long;
- that is not chance. Without this, 3 failures in 60 requests (5 %) would take back an app that
  fails as often as the old one (2 %), if one only waits for long enough.

Chance is what `proportions.chance` says, below `_BY_CHANCE`. That limit is low since a gate looks
every second, for days. For errors of both kinds it compares how many there were. For p95 it
compares how many took longer than the limit: if the new app kept to it, that would be at most 5 %,
as many as took longer than p95 on the old side. This needs no guess of how durations are
distributed.

How soon a new app that fails 5 % of its requests is taken back, with ``max_error_points=1``:

    the old one fails   requests that it takes on the new side
    never               about 300 with a share up to 10 %, 500 with 50 %
    2 %                 about 2,000 with a share up to 10 %, 3,500 with 50 %

If a window has fewer requests, the counts since the share was set decide, which need more time.

Where the old app has hardly any requests, as at a share of 100, it is judged by what it did before
the share rose. If nobody knows that (a start at 100), it counts as one that never fails; client
errors and durations have no limit then, since each app has some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, NamedTuple

from bridge.arguments.checks import Check, read_all
from bridge.arguments.values import VALUE_TYPES, ValueType
from bridge.cutover.canary.counts import Counts, Sides, bound_of, bucket_of
from bridge.cutover.canary.proportions import chance
from bridge.cutover.canary.window import Window
from bridge.errors import ConfigError

#: What happens by chance less often than this is no chance.
_BY_CHANCE: Final = 1e-5
_P95: Final = 0.95


def number(value: object) -> float:
    """Read a number, also from text. Raises `TypeError`, `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    read = float(value)
    if not isfinite(read):
        raise ValueError
    return read


_NUMBER = ValueType("a number", "N", number)
_CHECKS: Final[dict[str, Check]] = {
    "window": Check(type=VALUE_TYPES["Seconds"], minimum=1, maximum=86400),
    "min_requests": Check(type=VALUE_TYPES["int"], minimum=1),
    "max_error_points": Check(type=_NUMBER, minimum=0, maximum=100),
    "max_client_error_points": Check(type=_NUMBER, minimum=0, maximum=100),
    "max_p95_ratio": Check(type=_NUMBER, minimum=1, maximum=1000),
    "timeout": Check(type=VALUE_TYPES["Seconds"], minimum=0.1, maximum=86400),
}


@dataclass(frozen=True, kw_only=True)
class Gate:
    """By how much the new app may be worse, over the last `window` seconds and at this share.

    `min_requests`: fewer on either side decide nothing. `max_error_points`: so many of 100 requests
    may fail beyond those that fail in the old app. `max_client_error_points`: the same of those
    that are answered with 400 to 499, but for 401, 403, 408 and 429. `max_p95_ratio`: p95 of the
    durations may be so many times that of the old app. Each may be None: it is not looked at.
    `timeout`: a request whose answer has not begun after so long has failed, whether it ends or
    not.
    Raises `ConfigError` for a value that is not allowed.
    """

    window: float | str | None = None
    min_requests: int = 50
    max_error_points: float | None = 1.0
    max_client_error_points: float | None = None
    max_p95_ratio: float | None = None
    timeout: float | str = "30s"

    def __post_init__(self) -> None:
        """Check the values, and read those that are text."""
        if self.window is None:
            raise ConfigError(
                "a gate has no window; allowed is "
                f'{_CHECKS["window"].allowed}: Gate(window="60s", max_error_points=1)'
            )
        given = {name: getattr(self, name) for name in _CHECKS}
        for name, value in read_all(_CHECKS, given, "Gate").items():
            object.__setattr__(self, name, value)
        if all(limit is None for limit, _ in self._limits()):
            raise ConfigError(
                "a gate limits nothing; set max_error_points, max_client_error_points, "
                "max_p95_ratio, or more of them"
            )

    @property
    def seconds(self) -> float:
        """The length of the window."""
        assert isinstance(self.window, float)  # `__post_init__` has read it
        return self.window

    @property
    def patience(self) -> float:
        """The time in which an answer must begin, in seconds."""
        assert isinstance(self.timeout, float)  # `__post_init__` has read it
        return self.timeout

    def _limits(self) -> tuple[tuple[float | None, _Compare], ...]:
        return (
            (self.max_error_points, _errors),
            (self.max_client_error_points, _client_errors),
            (self.max_p95_ratio, _durations),
        )

    def judge(self, sides: Sides) -> Verdict:
        """Say whether the new app keeps to the limits, as far as these counts can tell."""
        fewest = min(sides, key=lambda side: side.requests)
        if fewest.requests < self.min_requests:
            app = "new" if fewest is sides.new else "old"
            return Verdict(
                WAITS,
                f"{fewest.requests} requests on the {app} app; min_requests is {self.min_requests}",
            )
        for limit, compare in self._limits():
            reason = None if limit is None else compare(limit, sides)
            if reason is not None:
                return Verdict(BREAKS, reason)
        return Verdict(HOLDS, "")


def read_gate(given: Mapping[str, Any]) -> Gate:
    """Make a gate of a table from a file. Raises `ConfigError`."""
    if not isinstance(given, Mapping):
        raise ConfigError(
            f'gate is {given!r}; allowed is a table, such as {{ window = "60s", '
            "max_error_points = 1 }"
        )
    return Gate(**read_all(_CHECKS, given, "a gate"))


# ------------------------------------------------------------- the judgement

#: There are too few requests to say anything; the gate holds; it breaks.
WAITS: Final = "waits"
HOLDS: Final = "holds"
BREAKS: Final = "breaks"


class Verdict(NamedTuple):
    """What a gate says of some counts, and why, in words for an operator."""

    state: str
    reason: str


def look(gate: Gate, window: Window, now: float, before: Counts | None = None) -> Verdict:
    """Judge the last seconds, and all since the share was set.

    It breaks if it breaks in either, and holds if there are enough requests since the share was
    set: a window may have few. `before`: what the old app has done before, which stands for what
    it does now where that is too little.
    """
    verdict = _judge(gate, window.latest(now), before)
    if verdict.state == BREAKS:
        return Verdict(BREAKS, f"in the last {gate.seconds:g} s {verdict.reason}")
    if now - window.started <= gate.seconds:
        return verdict  # these are the same counts
    verdict = _judge(gate, window.since_start, before)
    if verdict.state == BREAKS:
        return Verdict(BREAKS, f"since the share was set {verdict.reason}")
    return verdict


def _judge(gate: Gate, sides: Sides, before: Counts | None) -> Verdict:
    """Judge some counts; where the old app has too few requests, by what it did before."""
    old, new = sides.old.requests, sides.new.requests
    if before is None or old >= gate.min_requests or new < gate.min_requests:
        return gate.judge(sides)
    verdict = gate.judge(Sides(before, sides.new))
    if verdict.state != BREAKS:
        return verdict
    return Verdict(BREAKS, f"{verdict.reason}; the old one is judged by what it did before")


_Compare = Callable[[float, Sides], str | None]


def _errors(points: float, sides: Sides) -> str | None:
    """Return why the new app fails too often; None if it does not, or if that may be chance."""
    old, new = sides
    bad, bad_old = new.failed, old.failed
    if not _is_above(points, (bad, new.requests), (bad_old, old.requests)):
        return None
    return (
        f"{_percent(bad, new)} of {new.requests} requests failed in the new app, "
        f"{_percent(bad_old, old)} of {old.requests} in the old one; max_error_points is {points:g}"
    )


def _client_errors(points: float, sides: Sides) -> str | None:
    """Return why the new app refuses too often; None if it does not, or if that may be chance."""
    old, new = sides
    bad, bad_old = new.client_errors, old.client_errors
    if not old.durations:  # nothing is known of it
        return None
    if not _is_above(points, (bad, new.requests), (bad_old, old.requests)):
        return None
    return (
        f"{_percent(bad, new)} of {new.requests} requests were answered by an error of the client "
        f"(4xx, such as 404) in the new app, {_percent(bad_old, old)} of {old.requests} in the old "
        f"one; max_client_error_points is {points:g}"
    )


def _is_above(points: float, new: tuple[int, int], old: tuple[int, int]) -> bool:
    """Whether there are more bad ones, by so many of 100, and no chance; both: bad, in all."""
    above = 100 * (new[0] / new[1] - old[0] / old[1])
    return above > points and not _may_be_chance(*new, *old)


def _durations(ratio: float, sides: Sides) -> str | None:
    """Return why the new app is too slow; None if it is not, or if that may be chance."""
    old, new = sides
    if not old.durations or not new.durations:
        return None
    usual = old.quantile_bucket(_P95)
    limit = bucket_of(bound_of(usual) * ratio)
    slow, slow_old = new.longer_than(limit), round((1 - _P95) * old.timed)
    if slow <= (1 - _P95) * new.timed or _may_be_chance(slow, new.timed, slow_old, old.timed):
        return None
    p95 = bound_of(new.quantile_bucket(_P95))
    return (
        f"p95 is {_seconds(p95)} in the new app, {_seconds(bound_of(usual))} in the old one; "
        f"max_p95_ratio is {ratio:g}"
    )


def _may_be_chance(bad: int, total: int, other_bad: int, other_total: int) -> bool:
    return chance(bad, total, other_bad, other_total) >= _BY_CHANCE


def _percent(bad: int, side: Counts) -> str:
    return f"{100 * bad / side.requests:.1f} %"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
