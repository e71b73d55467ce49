"""Python's garbage collector under the greenlet runner."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from bridge.runners import Runner
from bridge.runners.greenlets.runner import GreenletRunner
from tests.runners.jobs import run_with


@pytest.fixture(autouse=True)
def own_threshold() -> Iterator[None]:
    """Leave the collector as it was."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)


@pytest.mark.parametrize(
    ("before", "after"),
    [(700, 10_000), (2_000, 10_000), (0, 0), (500, 500), (10_000, 10_000), (50_000, 50_000)],
)
def test_how_often(before: int, after: int) -> None:
    """G2: what requests have made is looked at less often, unless someone has chosen how often."""
    gc.set_threshold(before, 10, 7)

    async def main(_: Runner) -> None:
        assert gc.get_threshold() == (after, 10, 7)

    run_with(GreenletRunner(), main)
