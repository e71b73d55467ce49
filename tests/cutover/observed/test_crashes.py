"""Workers that die, of the new app or of something else."""

from __future__ import annotations

from random import Random

import pytest

from bridge.cutover.canary.counts import Counts, Sides
from bridge.cutover.observed.board import Left, Row
from bridge.cutover.observed.crashes import Crashes


def row(begun: int, found: int = 0, old: int = 0, new: int = 0) -> Row:
    return Row(begun, found, Left(old, 0, 0), Left(new, 0, 0))


def reason(rows: list[Row], old: int, new: int) -> str | None:
    crashes = Crashes()
    for each in rows:
        crashes.add(each)
    return crashes.reason(Sides(Counts(old), Counts(new)), 50)


def first_death(share: float, concurrency: int) -> int | None:
    """After how many deaths a new app is taken back that ends its worker with each request."""
    draw = Random(5)
    rows: list[Row] = []
    olds = news = 0
    while len(rows) < 40:
        begun = 0
        while draw.random() >= share:
            begun += 1
        rows.append(row(begun + 1, 0, min(begun, concurrency), 1))
        olds, news = olds + begun, news + 1
        if reason(rows, olds, news):
            return len(rows)
    return None


@pytest.mark.parametrize(
    ("share", "concurrency", "most"), [(0.05, 0, 3), (0.05, 20, 3), (0.5, 1, 7), (1, 0, 7)]
)
def test_an_app_that_ends_its_worker_with_each_request_is_soon_taken_back(
    share: float, concurrency: int, most: int
) -> None:
    """M23: whoever else had a request open in the worker."""
    found = first_death(share, concurrency)
    assert found is not None
    assert found <= most


def test_two_deaths_say_nothing() -> None:
    """M23: nor do three of which one had no request in the new app."""
    assert reason([row(100, 0, 5, 1)] * 2, 1000, 50) is None
    assert reason([row(100, 0, 5, 1)] * 2 + [row(100, 0, 5, 0)], 1000, 50) is None
    assert "3 workers have died" in str(reason([row(100, 0, 5, 1)] * 3, 1000, 50))


@pytest.mark.parametrize("found", [50, 95])
def test_workers_that_die_of_something_else_do_not_count(found: int) -> None:
    """M23: they have a request in the new app as often as they have one anyway."""
    draw = Random(found)
    rows = []
    for _ in range(30):
        rows.append(row(100, found, 5, int(draw.random() * 100 < found)))
        assert reason(rows, 2000, 2000) is None


def test_an_old_app_that_kills_its_workers_as_often_is_no_better() -> None:
    """M23: at any share, a tenth of the requests of either side."""
    draw = Random(3)
    for share in (0.05, 0.5):
        rows: list[Row] = []
        olds = news = begun = 0
        while len(rows) < 40:
            new = draw.random() < share
            begun, olds, news = begun + 1, olds + (not new), news + new
            if draw.random() < 0.1:
                rows.append(row(begun, 0, int(not new), int(new)))
                begun = 0
                assert reason(rows, olds, news) is None
