"""A share that climbs by itself."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.cutover.canary.gates import BREAKS, HOLDS, Verdict
from bridge.cutover.canary.gates import WAITS as TOO_FEW
from bridge.cutover.canary.steps import AT_THE_TOP, BY_HAND, CLIMBS, WAITS, Climb, Steps
from bridge.errors import ConfigError

GOOD = Verdict(HOLDS, "")
FEW = Verdict(TOO_FEW, "too few")
STEPS = Steps([1, 5, 50, 100], ["10m", 60, "1h"])


def test_steps_read_text_and_numbers() -> None:
    """M21: one time for all steps, or one for each; the last one needs none."""
    assert (STEPS.shares, STEPS.times) == ((1, 5, 50, 100), (600, 60, 3600, 1))
    assert Steps(["0.5", 2.5]).times == (600, 600)
    assert Steps([7], "30s").times == (30,)
    assert [STEPS.step_of(share) for share in (0.5, 1, 4, 5, 100)] == [-1, 0, 0, 1, 3]


@pytest.mark.parametrize(
    ("shares", "times", "said"),
    [
        ([], "10m", "steps is []; allowed are shares, each larger than the one before"),
        (5, "10m", "steps is 5; allowed are shares"),
        ([5, 1], "10m", "each larger than the one before"),
        ([5, 5], "10m", "each larger than the one before"),
        ([1, 150], "10m", "a share in steps is 150; allowed is a number of percent from 0.01"),
        ([0, 5], "10m", "a share in steps is 0"),
        ([1, 5], "soon", "step_time is 'soon'; allowed is a number of seconds"),
        ([1, 5], 0, "step_time is 0"),
        ([1, 5, 25], ["1m"], "step_time has 1 times for 3 steps"),
    ],
)
def test_wrong_steps_are_refused(shares: Any, times: Any, said: str) -> None:
    """M21: the error says what was seen, and what is allowed."""
    with pytest.raises(ConfigError) as caught:
        Steps(shares, times)
    assert said in str(caught.value)


def test_it_climbs_while_the_gate_holds() -> None:
    """M21: each step has its time, then comes the next, up to the last."""
    climb = Climb(STEPS, now=0.0)
    seen = [(climb.share, 0)]
    for second in range(0, 9000, 10):
        share = climb.look(float(second), GOOD)
        if share is not None:
            seen.append((share, second))
    assert seen == [(1, 0), (5, 600), (50, 660), (100, 4260)]
    assert (climb.state, climb.left(9000.0)) == (AT_THE_TOP, 0.0)


@pytest.mark.parametrize("verdict", [FEW, Verdict(BREAKS, "")])
def test_it_waits_for_enough_requests(verdict: Verdict) -> None:
    """M21: a step is not left before its time, nor without enough requests."""
    climb = Climb(STEPS, now=0.0)
    assert climb.look(599.0, GOOD) is None
    assert (climb.state, climb.left(599.0)) == (CLIMBS, 1.0)
    assert climb.look(700.0, verdict) is None
    assert (climb.state, climb.share) == (WAITS, 1)
    assert climb.look(5000.0, GOOD) == 5
    assert climb.state == CLIMBS


def test_what_a_person_sets_goes_before_the_steps() -> None:
    """M21: a share that is no step stays; a step begins, and the next ones follow."""
    climb = Climb(STEPS, now=0.0)
    climb.go_to(7, 10.0)
    assert climb.look(10_000.0, GOOD) is None
    assert (climb.state, climb.share) == (BY_HAND, 7)
    climb.go_to(5, 10_000.0)
    assert climb.look(10_000.0, GOOD) is None
    assert (climb.state, climb.share) == (CLIMBS, 5)
    climb.go_to(STEPS.shares[-1], 20_000.0)
    assert climb.state == AT_THE_TOP


@pytest.mark.parametrize(
    ("share", "state", "after"),
    [
        (None, CLIMBS, 5),
        (5, CLIMBS, 50),
        (30, BY_HAND, None),
        (0.5, BY_HAND, None),
        (100, AT_THE_TOP, None),
    ],
)
def test_after_a_restart_the_share_tells_the_step(
    share: float | None, state: str, after: float | None
) -> None:
    """M21: the share is what is kept; the time of the step begins anew."""
    climb = Climb(STEPS, 1000.0, share)
    assert climb.state == state
    assert climb.look(1059.0, GOOD) is None
    assert climb.look(1600.0, GOOD) == after
