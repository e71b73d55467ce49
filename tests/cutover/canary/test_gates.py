"""Gates: what is worse, and what is chance."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from bridge.cutover.canary.counts import Counts, Sides, bucket_of
from bridge.cutover.canary.gates import BREAKS, HOLDS, WAITS, Gate, look, read_gate
from bridge.cutover.canary.window import Window
from bridge.errors import ConfigError

GATE = Gate(window="60s", min_requests=50, max_error_points=1)


# ------------------------------------------------------------- settings


def test_a_gate_reads_text_and_numbers() -> None:
    """M21: values may be text, as everywhere."""
    gate = read_gate({"window": "2m", "min_requests": "20", "max_p95_ratio": "1.5"})
    assert gate == Gate(window=120, min_requests=20, max_error_points=1.0, max_p95_ratio=1.5)
    assert gate.seconds == 120.0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "a gate has no window; allowed is a number of seconds from 1 to 86400"),
        ({"window": "soon"}, "window is 'soon'; allowed is a number of seconds"),
        ({"window": 0}, "window is 0"),
        ({"window": 60, "min_requests": 0}, "min_requests is 0; allowed is a whole number"),
        ({"window": 60, "max_error_points": 150}, "allowed is a number from 0 to 100"),
        ({"window": 60, "max_error_points": True}, "max_error_points is True"),
        ({"window": 60, "max_p95_ratio": "x"}, "max_p95_ratio is 'x'; allowed is a number"),
        ({"window": 60, "max_p95_ratio": math.nan}, "max_p95_ratio is nan"),
        ({"window": 60, "max_errors": 1}, "max_errors is no setting of a gate; did you mean"),
    ],
)
def test_wrong_values_are_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    """M21: a gate without a window, or with a value that cannot be, is a clear error."""
    with pytest.raises(ConfigError) as caught:
        read_gate(given)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_gate_that_is_no_table_or_limits_nothing_is_refused() -> None:
    """M21: both errors say what to write instead."""
    with pytest.raises(ConfigError, match="gate is 60; allowed is a table"):
        read_gate(60)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="set max_error_points, max_client_error_points, max"):
        Gate(window=60, max_error_points=None)


# ------------------------------------------------------------- one judgement


def sides(old: tuple[int, int], new: tuple[int, int]) -> Sides:
    """Counts of both sides: failed, requests."""
    return Sides(Counts(old[1], old[0]), Counts(new[1], new[0]))


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ((0, 950), (0, 49), WAITS),
        ((0, 49), (0, 950), WAITS),
        ((0, 950), (3, 60), HOLDS),  # 5 %, of 60 requests
        ((0, 9_500), (15, 300), BREAKS),
        ((200, 10_000), (200, 10_000), HOLDS),
        ((200, 10_000), (299, 10_000), HOLDS),  # no chance, but within the limit
        ((200, 10_000), (301, 10_000), BREAKS),
        ((10_000, 10_000), (300, 300), HOLDS),  # both fail: their database is away
        ((10_000, 10_000), (0, 300), HOLDS),
    ],
)
def test_errors(old: tuple[int, int], new: tuple[int, int], state: str) -> None:
    """M21: a gate breaks above its limit, unless that may be chance."""
    assert GATE.judge(sides(old, new)).state == state


def test_the_reason_says_what_was_seen_and_what_is_allowed() -> None:
    """M21: an operator reads both sides and the limit in one line."""
    assert GATE.judge(sides((20, 10_000), (50, 1_000))).reason == (
        "5.0 % of 1000 requests failed in the new app, 0.2 % of 10000 in the old one; "
        "max_error_points is 1"
    )
    assert GATE.judge(sides((0, 100), (0, 7))).reason == (
        "7 requests on the new app; min_requests is 50"
    )
    assert GATE.judge(sides((0, 7), (0, 100))).reason == (
        "7 requests on the old app; min_requests is 50"
    )


def refusing(old: tuple[int, int], new: tuple[int, int]) -> Sides:
    """Counts of both sides: errors of the client, requests."""
    made = [Counts(total, 0, {40: total}, bad) for bad, total in (old, new)]
    return Sides(*made)


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ((0, 950), (50, 50), BREAKS),  # a path that the new app writes in another way
        ((95, 950), (5, 50), HOLDS),  # bots ask both
        ((950, 950), (50, 50), HOLDS),
        ((0, 950), (2, 50), HOLDS),  # a person has mistyped
        ((10, 1_000), (59, 1_000), HOLDS),  # no chance, but within the limit
        ((10, 1_000), (90, 1_000), BREAKS),
        ((950, 950), (0, 50), HOLDS),
    ],
)
def test_client_errors(old: tuple[int, int], new: tuple[int, int], state: str) -> None:
    """M21: as errors, with a limit of their own; a gate without it does not look at them."""
    gate = Gate(window=60, max_client_error_points=5)
    assert gate.judge(refusing(old, new)).state == state
    assert GATE.judge(refusing(old, new)).state == HOLDS


def test_the_reason_of_client_errors_says_both_and_the_limit() -> None:
    """M21: an operator reads what to look for."""
    gate = Gate(window=60, max_error_points=None, max_client_error_points=5)
    assert gate.judge(refusing((10, 1_000), (50, 50))).reason == (
        "100.0 % of 50 requests were answered by an error of the client (4xx, such as 404) in the "
        "new app, 1.0 % of 1000 in the old one; max_client_error_points is 5"
    )


def test_where_nothing_is_known_of_the_old_app_client_errors_have_no_limit() -> None:
    """M21: each app has some, so that none would be a wrong guess."""
    gate = Gate(window=60, max_client_error_points=5)
    new = refusing((0, 1), (30, 100)).new
    assert gate.judge(Sides(Counts(100), new)).state == HOLDS


def timed(rng: Random, number: int, median: float) -> Counts:
    """Durations as they are: most near the median, and a long tail."""
    durations: dict[int, int] = {}
    for _ in range(number):
        bucket = bucket_of(median * math.exp(rng.gauss(0, 0.8)))
        durations[bucket] = durations.get(bucket, 0) + 1
    return Counts(number, 0, durations)


@pytest.mark.parametrize("number", [100, 1_000])
@pytest.mark.parametrize(
    ("times", "state"), [(0.5, HOLDS), (1.0, HOLDS), (1.4, HOLDS), (1.9, HOLDS), (8.0, BREAKS)]
)
def test_durations(times: float, state: str, number: int) -> None:
    """M21: p95 may be 2 times that of the old app, and chance takes back nobody (20 of 20)."""
    gate = Gate(window=60, min_requests=50, max_error_points=None, max_p95_ratio=2)
    for seed in range(20):
        rng = Random(seed)
        counts = Sides(timed(rng, 2_000, 0.020), timed(rng, number, 0.020 * times))
        assert gate.judge(counts).state == state, seed


def test_the_reason_of_durations_says_both() -> None:
    """M21: p95 of both sides, and the limit."""
    gate = Gate(window=60, max_p95_ratio=1.5)
    counts = Sides(Counts(500, 0, {40: 500}), Counts(300, 0, {80: 200, 90: 100}))
    assert gate.judge(counts).reason == (
        "p95 is 3.16 s in the new app, 10 ms in the old one; max_p95_ratio is 1.5"
    )


def test_requests_without_a_duration_say_nothing_of_p95() -> None:
    """M21: WebSockets count as requests that failed or did not."""
    gate = Gate(window=60, max_p95_ratio=1.5)
    assert gate.judge(Sides(Counts(500), Counts(300, 0, {90: 300}))).state == HOLDS
    assert gate.judge(Sides(Counts(500, 0, {40: 500}), Counts(300))).state == HOLDS


# ------------------------------------------------------------- looks, each second


def failures(rng: Random, number: int, part: float) -> int:
    """How many of so many fail, by chance."""
    failed, at = 0, -1
    while part and number:
        at += 1 + int(math.log(1.0 - rng.random()) / math.log1p(-part))
        if at >= number:
            break
        failed += 1
    return failed


def taken_back(seed: int, rate: int, share: float, old: float, new: float, most: int) -> int | None:
    """After how many seconds a gate breaks that looks each second; None: not in `most`."""
    rng, window = Random(seed), Window(GATE.seconds, 0.0)
    for second in range(1, most + 1):
        on_new = failures(rng, rate, share / 100)
        on_old = rate - on_new
        window.add(
            Sides(
                Counts(on_old, failures(rng, on_old, old / 100)),
                Counts(on_new, failures(rng, on_new, new / 100)),
            ),
            float(second),
        )
        if look(GATE, window, float(second)).state == BREAKS:
            return second
    return None


@pytest.mark.parametrize(
    ("rate", "share", "old", "seconds"),
    [
        # Within one window, if that has enough requests (see the table in gates.py).
        *((1_000, share, 0, 60) for share in (1, 5, 50)),
        *((100, share, 0, 60) for share in (5, 10, 50)),
        *((1_000, share, 2, 60) for share in (5, 50)),
        # With fewer, as soon as there are enough.
        (100, 50, 2, 120),
        (100, 1, 0, 300),
        (10, 50, 0, 180),
        (10, 10, 0, 360),
    ],
)
def test_one_that_fails_5_percent_is_taken_back(
    rate: int, share: float, old: float, seconds: int
) -> None:
    """M21: one that fails 5 % is taken back in 20 runs of 20; the old one fails 0 or 2 %."""
    after = [taken_back(seed, rate, share, old, 5, seconds) for seed in range(20)]
    assert None not in after, after


@pytest.mark.parametrize(
    ("rate", "share", "seconds", "part"),
    [
        *((10, share, 300, 2) for share in (1, 10, 50)),
        *((100, share, 180, 2) for share in (1, 10, 50)),
        *((1_000, share, 60, 2) for share in (1, 50)),
        (10, 50, 180, 20),
        (100, 5, 120, 20),
    ],
)
def test_one_that_fails_as_often_as_the_old_one_stays(
    rate: int, share: float, seconds: int, part: float
) -> None:
    """M21: if both fail 2 %, or both 20 %, the new one is not taken back in 20 runs of 20."""
    after = [taken_back(seed, rate, share, part, part, seconds) for seed in range(20)]
    assert after == [None] * 20


def test_a_slow_route_is_judged_by_all_since_the_share_was_set() -> None:
    """M21: with 6 requests in a window nobody can tell; with 300 in an hour one can."""
    window = Window(60, 0.0)
    for minute in range(1, 61):
        window.add(sides((0, 500), (minute % 4 == 0, 6)), minute * 60.0)
        verdict = look(GATE, window, minute * 60.0)
        if verdict.state == BREAKS:
            break
    assert verdict.reason.startswith("since the share was set 4.")
    assert look(GATE, Window(60, 0.0), 500.0).state == WAITS


def test_one_that_breaks_after_a_good_day_is_taken_back_within_a_window() -> None:
    """M21: the last seconds count by themselves, however long it went well before."""
    window = Window(60, 0.0)
    window.add(sides((0, 1_000_000), (0, 1_000_000)), 1.0)
    window.add(sides((0, 500), (25, 500)), 86_400.0)
    verdict = look(GATE, window, 86_401.0)
    assert verdict == (
        BREAKS,
        "in the last 60 s 5.0 % of 500 requests failed in the new app, 0.0 % of 500 in the old "
        "one; max_error_points is 1",
    )
