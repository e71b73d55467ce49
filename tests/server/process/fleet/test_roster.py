"""The steps of single workers, by themselves; how they fit together is told in test_fleet.py."""

from __future__ import annotations

import logging
from typing import Any

from bridge.server.config.config import Config
from bridge.server.process.fleet.members import Fork, Kill, Member, Report, State, Tell, Terminate
from bridge.server.process.fleet.roster import KILL_GRACE, Roster, seconds

CONFIG = Config(app="app:app", timeout_graceful_shutdown=10, timeout_shutdown=20)


def roster_with(*states: State) -> Roster:
    """A roster of workers in these states, with the pids 1, 2 ..."""
    roster = Roster(lambda most: most)
    for pid, state in enumerate(states, 1):
        member = roster.fork(1, CONFIG, now=0)
        member.pid, member.state = pid, state
    roster.take_actions()
    return roster


def member(roster: Roster, pid: int) -> Member:
    found = roster.find(pid)
    assert found is not None
    return found


def done(roster: Roster) -> list[Any]:
    """What was ordered: the kind of each action, or the type of the message."""
    return [
        each.message["type"] if isinstance(each, Tell) else type(each)
        for each in roster.take_actions()
    ]


def test_a_worker_gets_the_lowest_free_slot() -> None:
    """So the numbers stay small, whatever comes and goes: boards and figures go by them."""
    roster = roster_with(State.SERVING, State.SERVING, State.SERVING)
    roster.remove(member(roster, 2))
    assert roster.fork(1, CONFIG, now=0).slot == 1
    assert roster.fork(1, CONFIG, now=0).slot == 3
    assert done(roster) == [Fork, Fork]
    assert roster.find(2) is None


def test_the_limit_of_requests_is_drawn_for_each_worker() -> None:
    """P4: with jitter, workers that have started together do not go together."""
    roster = Roster(lambda most: most - 1)
    config = Config(app="app:app", max_requests=100, max_requests_jitter=10)
    assert roster.fork(1, config, now=0).most_requests == 109
    assert roster.fork(1, CONFIG, now=0).most_requests == float("inf")


def test_who_is_there_by_state_and_generation() -> None:
    """Members are found by what they do."""
    roster = roster_with(State.SERVING, State.STARTED, State.SERVING)
    member(roster, 3).generation = 2
    assert [each.pid for each in roster.having(State.SERVING)] == [1, 3]
    assert [each.pid for each in roster.having(State.SERVING, generation=1)] == [1]


def test_the_one_that_is_replaced_retires_when_the_other_serves() -> None:
    """P4: its deadline is what retiring and stopping may take, and some more."""
    roster = roster_with(State.SERVING, State.STARTED)
    old, new = member(roster, 1), member(roster, 2)
    new.replaces = old
    assert roster.is_replacing
    roster.serve(new, CONFIG, now=100)
    assert done(roster) == ["serve", "retire"]
    assert (new.state, old.state) == (State.SERVING, State.RETIRING)
    assert old.deadline == 100 + 5 + 10 + 20 + 5
    assert not roster.is_replacing


def test_a_successor_counts_by_itself_when_the_other_has_gone() -> None:
    """P4: whatever became of that: removed, killed, told to go."""
    roster = roster_with(State.SERVING, State.STARTED)
    old, new = member(roster, 1), member(roster, 2)
    new.replaces = old
    roster.kill(old, 0, shows_stack=False)
    assert new.replaces is None
    new.replaces = old
    roster.serve(new, CONFIG, now=0)
    assert done(roster) == [Kill, "serve"]
    new.replaces = old
    roster.remove(old)
    assert new.replaces is None


def test_how_a_worker_is_told_to_stop_depends_on_how_far_it_has_come() -> None:
    """P2: by a signal while it starts; without grace if it serves nobody; once in any case."""
    roster = roster_with(State.STARTING, State.STARTED, State.SERVING, State.KILLED)
    for _ in range(2):
        for each in roster:
            roster.stop(each, CONFIG, now=0)
    actions = roster.take_actions()
    assert actions == [
        Terminate(member(roster, 1)),
        Tell(member(roster, 2), {"type": "stop", "grace": 0}),
        Tell(member(roster, 3), {"type": "stop", "grace": 10}),
    ]
    assert [each.deadline for each in roster] == [5, 35, 35, None]
    assert roster.having(State.KILLED) == [member(roster, 4)]


def test_a_worker_that_is_not_forked_yet_is_forgotten() -> None:
    """P2: there is nobody to be told."""
    roster = Roster(lambda most: 0)
    roster.retire(roster.fork(1, CONFIG, now=0), CONFIG, now=0)
    assert [*roster] == []


def test_a_shutdown_of_any_length_has_no_deadline() -> None:
    """`timeout_shutdown` 0 is the operator's word."""
    roster = roster_with(State.SERVING)
    roster.retire(member(roster, 1), Config(app="app:app", timeout_shutdown=0), now=0)
    assert member(roster, 1).deadline is None


def test_a_worker_that_is_killed_has_a_moment_to_be_gone() -> None:
    """After that, nobody waits for it."""
    roster = roster_with(State.SERVING)
    roster.kill(member(roster, 1), 10, shows_stack=True)
    assert roster.take_actions() == [Kill(member(roster, 1), shows_stack=True)]
    assert member(roster, 1).deadline == 10 + KILL_GRACE


def test_lines_and_numbers_for_the_log() -> None:
    """A tenth of a second is as exact as anybody wants it."""
    roster = Roster(lambda most: 0)
    roster.report(logging.INFO, "hello")
    assert roster.take_actions() == [Report(logging.INFO, "hello")]
    assert [seconds(each) for each in (0.5, 30.0, 12.345)] == ["0.5 s", "30 s", "12.3 s"]
