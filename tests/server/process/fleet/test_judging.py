"""Which workers are replaced or killed, and why."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.server.config.config import Config
from bridge.server.process.fleet.judging import judge, leave, replace_if_spent
from bridge.server.process.fleet.members import Action, Kill, Member, Report, State
from bridge.server.process.fleet.roster import Roster

MiB = 2**20


def one(state: State = State.SERVING, **about: Any) -> tuple[Roster, Member]:
    """A roster with one worker, which was forked at 0 and serves since then."""
    roster = Roster(lambda most: most)
    member = roster.fork(1, Config(app="app:app"), now=0)
    member.pid, member.state = 7, state
    for name, value in about.items():
        setattr(member, name, value)
    roster.take_actions()
    return roster, member


def lines(actions: list[Action]) -> list[str]:
    return [each.text for each in actions if isinstance(each, Report)]


@pytest.mark.parametrize(
    ("settings", "about", "why"),
    [
        ({}, {"most_requests": 10, "beat": {"served": 10}}, "max_requests: 10 requests served"),
        ({}, {"most_requests": 10, "beat": {"served": 9}}, ""),
        ({"max_rss": 100 * MiB}, {"rss": 101 * MiB}, "max_rss: 101 MiB"),
        (
            {"max_rss": 100 * MiB},
            {"rss": 101 * MiB, "serving_since": 6},
            "max_rss: 101 MiB; a new worker has that much",
        ),
        ({"max_rss": 100 * MiB}, {"rss": 100 * MiB}, ""),
        ({"max_rss": 100 * MiB}, {"rss": None}, ""),
        ({"max_lifetime": 9}, {}, "max_lifetime: 10 s served"),
        ({"max_lifetime": 10}, {}, ""),
        ({"max_lifetime": 9}, {"state": State.STARTED}, ""),
        ({"max_lifetime": 9}, {"state": State.RETIRING}, ""),
    ],
)
def test_why_a_worker_has_served_enough(
    settings: dict[str, Any], about: dict[str, Any], why: str
) -> None:
    """P4: requests, memory, age; and only those that serve."""
    roster, member = one(heard=10, **{"beat": {"served": 0}, **about})
    judge(roster, Config(app="app:app", **settings), 10)
    assert member.leaving == why
    said = f"worker 7 is to be replaced ({why}); it serves until another has started"
    assert lines(roster.take_actions()) == ([said] if why else [])


def test_a_worker_that_leaves_already_is_not_judged_again() -> None:
    """P4: one line says why it goes."""
    roster, member = one(most_requests=1, beat={"served": 5})
    leave(roster, member, "SIGTERM")
    roster.take_actions()
    replace_if_spent(roster, member, Config(app="app:app"), 10)
    assert (member.leaving, roster.take_actions()) == ("SIGTERM", [])


def test_one_that_is_not_serving_leaves_in_silence() -> None:
    """What has happened to it is said by others."""
    roster, member = one(State.STARTED)
    leave(roster, member, "SIGTERM")
    assert (member.leaving, roster.take_actions()) == ("SIGTERM", [])


@pytest.mark.parametrize("state", [*State])
def test_only_one_that_serves_can_be_blocked(state: State) -> None:
    """P6: whoever starts, is held or retires is left alone; a sign of life is due each second."""
    roster, member = one(state, heard=0)
    judge(roster, Config(app="app:app", timeout_worker=30), 31)
    assert roster.take_actions() == []
    judge(roster, Config(app="app:app", timeout_worker=30), 32)
    actions = roster.take_actions()
    if state is State.SERVING:
        assert actions[1:] == [Kill(member, shows_stack=True)]
        assert lines(actions) == [
            "worker 7 is blocked: its event loop has stood still for 32 s (timeout_worker is "
            "30 s); killing it, and starting another"
        ]
    else:
        assert actions == []


def test_one_that_has_not_ended_in_time_is_killed_once() -> None:
    """P3: what it does is shown first."""
    roster, member = one(State.RETIRING, deadline=50.0)
    judge(roster, Config(app="app:app"), 49.9)
    assert roster.take_actions() == []
    judge(roster, Config(app="app:app"), 50)
    assert roster.take_actions()[1:] == [Kill(member, shows_stack=True)]
    judge(roster, Config(app="app:app"), 60)
    assert roster.take_actions() == []


def test_a_slow_start_is_mentioned_once() -> None:
    """P6: it may be meant to take long."""
    roster, _ = one(State.STARTING)
    config = Config(app="app:app")
    judge(roster, config, 60)
    assert roster.take_actions() == []
    judge(roster, config, 61)
    judge(roster, config, 120)
    assert lines(roster.take_actions()) == ["worker 7 has been starting for 61 s; it is left alone"]
