"""What is in force in all workers, and what the gates come to."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from bridge import Route
from bridge.cutover.canary.counts import Counts
from bridge.errors import ConfigError
from bridge.server.process.ramp.decider import Decider

GATE = {"window": "60s", "min_requests": 50, "max_error_points": 1}


def route(share: float | None = 50, **more: Any) -> Route:
    return Route("a", "/a", mode="canary", share=share, gate=GATE, **more)


def counted(old: int, new: int, failed: int = 0) -> dict[str, Any]:
    return {"a": [Counts(old).as_json(), Counts(new, failed).as_json()]}


def decider(*routes: Route) -> Decider:
    made = Decider()
    made.use(routes or [route()], 1, 0.0)
    return made


def test_counts_of_all_workers_are_added() -> None:
    """M21: none of them alone has enough; a rollback is no change for the other routes."""
    decides = decider(route(), Route("b", "/b", mode="new"))
    for _ in range(4):
        decides.count(counted(200, 200, 8), 1, 1.0)
    (change,) = decides.look(2, 1.0)
    assert (change.mode, change.before) == ("old", 50)
    assert decides.modes() == {"a": ("old", None), "b": ("new", None)}
    assert decides.rollbacks(1.0) == {"a": 1}
    standing = decides.standing("a", 1.0)
    assert standing is not None
    assert standing.state == "rolled back"


def test_what_was_counted_before_the_share_was_set_says_nothing_of_it() -> None:
    """M21: counts have the serial that was in force in the worker."""
    decides = decider()
    decides.set("a", "canary", 20, 2, 1.0)
    decides.count(counted(1000, 1000, 500), 1, 2.0)
    assert decides.look(3, 2.0) == []
    decides.count(counted(1000, 1000, 500), 2, 3.0)
    assert [each.mode for each in decides.look(3, 3.0)] == ["old"]


def test_another_route_that_is_switched_changes_nothing_here() -> None:
    """M21: neither a rollback nor how far a climb has come, and counts of before count."""
    climbing = route(None, steps=[1, 50, 100], step_time="10m")
    other = Route("b", "/b")
    decides = decider(climbing, other)
    decides.count(counted(1000, 1000), 1, 500.0)
    decides.set("b", "new", None, 2, 550.0)
    decides.count(counted(1000, 1000), 1, 599.0)
    assert [each.share for each in decides.look(3, 601.0)] == [50]
    decides.use([climbing, other], 4, 602.0)  # the file is read again
    assert decides.modes()["a"] == ("canary", 50)
    decides.count(counted(1000, 1000, 500), 4, 603.0)
    assert [each.mode for each in decides.look(5, 603.0)] == ["old"]
    decides.use([climbing, Route("b", "/b", mode="canary", share=3)], 6, 604.0)
    assert decides.modes() == {"a": ("old", None), "b": ("canary", 3.0)}
    decides.use([route(7), other], 7, 605.0)  # now the file says something else
    assert decides.modes()["a"] == ("canary", 7)


def test_a_row_that_was_written_may_be_changed_back() -> None:
    """M3: what the file says from then on is what a person says."""
    decides = decider()
    decides.count(counted(1000, 1000, 500), 1, 1.0)
    decides.look(2, 1.0)
    decides.note_row(route().switched("old"))
    decides.use([route().switched("old")], 3, 2.0)
    assert decides.modes()["a"] == ("old", None)
    decides.use([route()], 4, 3.0)
    assert decides.modes()["a"] == ("canary", 50)


def test_a_wrong_order_changes_nothing() -> None:
    """M5: an unknown route, mode or share."""
    decides = decider()
    for name, mode, share in [("x", "new", None), ("a", "never", None), ("a", "canary", 150)]:
        with pytest.raises(ConfigError):
            decides.set(name, mode, share, 2, 1.0)
    assert decides.modes() == {"a": ("canary", 50)}


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("fails", [(0.0, 0.05), (0.05, 0.05)], ids=["worse", "equal"])
def test_twenty_runs(seed: int, fails: tuple[float, float]) -> None:
    """M21: four workers; one that fails 5 % goes within one window, one that is no worse stays."""
    draw = Random(seed)
    decides = decider()
    taken_back = None
    for second in range(1, 60):
        for _ in range(4):
            old, new = (
                Counts(15, sum(draw.random() < chance for _ in range(15))) for chance in fails
            )
            decides.count({"a": [old.as_json(), new.as_json()]}, 1, float(second))
        if decides.look(2, float(second)):
            taken_back = second
            break
    assert (taken_back is not None) == (fails[0] < fails[1])


def test_what_was_decided_after_the_rows_were_read_stands() -> None:
    """M3, M21: a step, too; what was decided before them does not, if they say else."""
    steps = {"steps": [10, 50], "step_time": "1s"}
    decides = decider(route(10, **steps), Route("b", "/b", mode="new"))
    decides.set("b", "old", None, 2, 0.0)
    decides.count(counted(500, 500), 2, 0.5)
    (change,) = decides.look(3, 2.0)
    assert change.share == 50
    decides.use([route(20, **steps), Route("b", "/b", mode="canary", share=5)], 4, 3.0, 2)
    assert decides.modes() == {"a": ("canary", 50), "b": ("canary", 5)}
    decides.use([route(20, **steps)], 5, 3.0)  # the same rows, and a decision beside them
    assert decides.modes() == {"a": ("canary", 50)}
