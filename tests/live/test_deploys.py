"""Deploys under load: of all that clients ask meanwhile, nothing is lost (P3, P4, P5, P10).

This is the short form; ``scripts/deploys`` does the same for 90 s with all that the machine has.
"""

from __future__ import annotations

import sys

import pytest

from bench.deploys.proof import STORIES, deployed, summary
from bench.load.deploys.mixture import Mixture

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="workers are found in /proc"),
]

MIXTURE = Mixture("/asgi", "/wsgi", clients=24, pace=0.01, stream=1)


@pytest.mark.parametrize("server", [*STORIES])
def test_nothing_is_lost(server: str) -> None:
    """P3 P4 P5 P10: by reloads, also onto a broken version, by replacement, by other numbers.

    What was in flight on a worker that is killed is gone, and nothing else.
    """
    with deployed(server, MIXTURE) as story:
        story.pace, story.replaced = 0.3, 4
        STORIES[server](story, 2)
        tally, text = summary(story, story.end())
        assert tally.lost == [], f"{text}\n{story.log()}"
    assert story.process.returncode == 0
    assert len(tally.killed) <= MIXTURE.clients
