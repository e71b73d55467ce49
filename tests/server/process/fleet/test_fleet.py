"""What becomes of workers, told by lists of events: no process is started here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from bridge.server.config.config import Config
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import (
    Action,
    Announce,
    Finish,
    Fork,
    Gone,
    Kill,
    Member,
    Reloaded,
    Report,
    State,
    Tell,
    Terminate,
)


class Story:
    """A fleet, a clock, and what stands for the system: each `Fork` gets a pid at once."""

    def __init__(self, workers: int = 2, **settings: Any) -> None:
        self.now = 100.0
        self.config = config(workers=workers, **settings)
        self.fleet = Fleet(self.config, lambda most: most)
        self.last_pid = 0
        self.cannot_fork = ""
        self.actions: list[Action] = []
        self.fleet.start(self.now)
        self.carry_out()

    def carry_out(self) -> None:
        while actions := self.fleet.take_actions():
            self.actions += actions
            for action in actions:
                if isinstance(action, Fork):
                    if self.cannot_fork:
                        self.fleet.fork_failed(action.member, self.cannot_fork, self.now)
                    else:
                        self.last_pid += 1
                        self.fleet.forked(action.member, self.last_pid, self.now)

    def take(self, kind: type[Any]) -> list[Any]:
        """Return the actions of this kind since the last look at them."""
        found = [each for each in self.actions if isinstance(each, kind)]
        self.actions = [each for each in self.actions if not isinstance(each, kind)]
        return found

    def lines(self, level: int = logging.INFO) -> str:
        return "\n".join(each.text for each in self.take(Report) if each.level >= level)

    def told(self) -> list[tuple[int, str]]:
        """Return pid and type of each message to a worker, and the others that were signalled."""
        return [(each.member.pid, each.message["type"]) for each in self.take(Tell)]

    def say(self, pid: int, kind: str, **more: Any) -> None:
        member = self.fleet.roster.find(pid)
        assert member is not None, f"there is no worker {pid}"
        self.fleet.receive(member, {"type": kind, **more}, self.now)
        self.carry_out()

    def started(self, *pids: int) -> None:
        for pid in pids:
            self.say(pid, "started", app=["serving app:app"])

    def exit(self, pid: int, status: int = 0) -> None:
        self.fleet.exited(pid, status, self.now)
        self.carry_out()

    def fail(self, pid: int, code: int = 3, error: str = "importing app failed") -> None:
        self.say(pid, "failed", code=code, error=error)
        self.exit(pid, code)

    def order(self, order: Callable[..., None], *arguments: Any, **more: Any) -> None:
        order(*arguments, now=self.now, **more)
        self.carry_out()

    def wait(self, seconds: float) -> None:
        """Let time pass: the fleet looks when it wants to, and workers that serve say so."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.fleet.next_time(self.now), end)
            for member in self.fleet.roster.having(State.SERVING):
                if member.pid not in self.silent:
                    self.fleet.receive(member, {"type": "beat"}, self.now)
            self.fleet.tick(self.now)
            self.carry_out()

    silent: tuple[int, ...] = ()

    def pids(self, *states: State) -> list[int]:
        return sorted(each.pid for each in self.fleet.roster.having(*(states or tuple(State))))

    @property
    def serving(self) -> list[int]:
        return self.pids(State.SERVING)


def config(**settings: Any) -> Config:
    return Config(app="app:app", **settings)


@pytest.fixture
def pair() -> Story:
    """Two workers, 1 and 2, that have served for long."""
    return serving(Story())


def serving(story: Story) -> Story:
    story.started(1)
    story.started(*range(2, story.config.workers + 1))
    story.wait(60)
    story.actions.clear()
    return story


# ------------------------------------------------------------- start


def test_one_worker_starts_first() -> None:
    """P1: if the app cannot start, its error is printed once; else the others follow."""
    story = Story(3)
    assert story.pids() == [1]
    assert story.fleet.state == "starting"
    story.started(1)
    assert story.pids(State.STARTING) == [2, 3]
    assert story.told() == [(1, "serve")]
    assert story.take(Announce) == [Announce(("serving app:app",))]
    assert story.fleet.state == "serving"
    story.started(2, 3)
    assert story.serving == [1, 2, 3]
    assert not story.take(Announce)
    assert [each.slot for each in story.fleet.roster] == [0, 1, 2]


@pytest.mark.parametrize("code", [2, 3])
def test_an_app_that_cannot_start_ends_the_server(code: int) -> None:
    """P1: with the code of the worker, for starting again does not help."""
    story = Story()
    story.fail(1, code)
    (finish,) = story.take(Finish)
    assert finish.code == code
    assert "importing app failed" in finish.error
    assert not story.lines()  # the worker has printed all there is to say


def test_a_first_worker_that_crashes_is_started_again_after_a_pause() -> None:
    """P1: a crash says nothing of the next try, but a loop of them must not burn the machine."""
    story = Story()
    for pid, pause in (1, 0.5), (2, 1), (3, 2):
        story.exit(pid, -11)
        expected = f"worker {pid}: was killed by SIGSEGV before it had started"
        assert f"{expected}; starting another in {pause:g} s" in story.lines()
        story.wait(pause - 0.1)
        assert story.pids() == []
        story.wait(0.1)
        assert story.pids() == [pid + 1]


def test_a_worker_that_starts_slowly_is_left_alone() -> None:
    """P6: a start may take as long as it likes; after a minute a line says so, once."""
    story = Story()
    story.wait(59)
    assert story.lines() == ""
    story.wait(200)
    assert story.lines().count("has been starting for") == 1
    assert not story.take(Kill)
    story.started(1)
    assert story.serving == [1]


def test_a_fork_that_fails_is_tried_again() -> None:
    """P1: a machine without memory for another process may have some a moment later."""
    story = Story()
    story.started(1)
    story.started(2)
    story.cannot_fork = "Resource temporarily unavailable"
    story.order(story.fleet.scale, 3)
    assert "cannot start a worker: Resource temporarily unavailable; next try in 0.5 s" in (
        story.lines()
    )
    story.cannot_fork = ""
    story.wait(0.5)
    assert story.pids(State.STARTING) == [3]
    assert story.serving == [1, 2]


# ------------------------------------------------------------- crashes


def test_a_crash_is_made_good_at_once(pair: Story) -> None:
    """P1: a worker that has served for long is replaced without a pause."""
    pair.exit(1, -9)
    assert pair.pids(State.STARTING) == [3]
    assert "worker 1: was killed by SIGKILL" in pair.lines(logging.ERROR)
    assert [each.why for each in pair.take(Gone)] == ["crash"]
    pair.started(3)
    assert pair.serving == [2, 3]


def test_a_worker_that_crashes_again_and_again_is_started_ever_less_often(pair: Story) -> None:
    """P1: that others serve well does not make it good."""
    pair.exit(1, 1)
    for pid, pause in (3, 0.5), (4, 1), (5, 2), (6, 4), (7, 8), (8, 16), (9, 30), (10, 30):
        pair.started(pid)
        pair.wait(1)
        pair.exit(pid, 1)
        assert f"ended with exit code 1; starting another in {pause:g} s" in pair.lines()
        pair.wait(pause)
    pair.started(11)
    pair.wait(11)
    pair.exit(11, 1)
    assert pair.pids(State.STARTING) == [12]


def test_a_replacement_that_cannot_start_is_tried_again(pair: Story) -> None:
    """P1: while others serve, an app that cannot start now (no database) ends nothing."""
    pair.exit(1, -9)
    pair.fail(3)
    assert not pair.take(Finish)
    assert "worker 3: importing app failed; starting another in 0.5 s" in pair.lines(logging.ERROR)
    pair.wait(0.5)
    pair.started(4)
    assert pair.serving == [2, 4]


def test_the_server_ends_if_none_serves_and_none_can_start(pair: Story) -> None:
    """P1: the one that fails last says with which code, and a line that it ends for this."""
    pair.exit(1, -9)
    pair.exit(2, -9)
    assert pair.pids(State.STARTING) == [3, 4]
    pair.fail(3)
    assert "worker 3 could not start; no worker serves: the server ends" in pair.lines()
    assert pair.take(Terminate)[0].member.pid == 4
    pair.exit(4)
    assert [each.code for each in pair.take(Finish)] == [3]


def test_strangers_mean_nothing(pair: Story) -> None:
    """P7: as PID 1 the supervisor reaps orphans, and their exit codes are theirs."""
    pair.exit(4711, 3)
    assert pair.actions == []
    assert pair.serving == [1, 2]


# ------------------------------------------------------------- reload


def test_a_reload_is_held_until_all_have_started(pair: Story) -> None:
    """P3: the old workers go when the new ones serve, and not before."""
    pair.order(pair.fleet.reload, config(workers=2))
    assert pair.fleet.state == "reloading"
    assert pair.pids(State.STARTING) == [3]
    pair.started(3)
    assert pair.told() == []
    pair.started(4)
    assert pair.told() == [(3, "serve"), (4, "serve"), (1, "retire"), (2, "retire")]
    assert pair.take(Reloaded) == [Reloaded()]
    assert "reloaded: 2 new workers after 0 s" in pair.lines()
    pair.exit(1)
    pair.exit(2)
    assert pair.serving == [3, 4]
    assert pair.fleet.generation == 2


@pytest.mark.parametrize("how", ["fails", "crashes", "fork"])
def test_a_version_that_cannot_start_leaves_the_old_one_serving(pair: Story, how: str) -> None:
    """P3: all of the new generation go, whichever of it has failed."""
    pair.order(pair.fleet.reload, config(workers=2))
    if how == "fork":
        pair.cannot_fork = "no memory"
    pair.started(3)
    if how != "fork":
        pair.fail(4) if how == "fails" else pair.exit(4, -11)
    assert (3, "stop") in pair.told()
    (outcome,) = pair.take(Reloaded)
    expected = {"fails": "importing app failed", "crashes": "SIGSEGV", "fork": "no memory"}
    assert expected[how] in outcome.error
    assert "the reload was given up, and the old workers serve on" in pair.lines(logging.ERROR)
    pair.exit(3)
    assert pair.serving == pair.pids() == [1, 2]
    assert (pair.fleet.state, pair.fleet.generation) == ("serving", 1)
    assert not pair.take(Finish)


def test_the_newest_reload_counts(pair: Story) -> None:
    """P3: one that is under way is given up, and whoever waits for it is told."""
    pair.order(pair.fleet.reload, config(workers=2))
    pair.order(pair.fleet.reload, config(workers=2))
    assert [each.error for each in pair.take(Reloaded)] == ["another one was ordered"]
    assert [each.member.pid for each in pair.take(Terminate)] == [3]
    pair.exit(3)
    pair.started(4)
    pair.started(5)
    assert pair.serving == [4, 5]
    assert pair.fleet.generation == 3


def test_an_old_worker_that_crashes_during_a_reload_is_replaced(pair: Story) -> None:
    """P3: a reload may take minutes; until then the old generation is whole."""
    pair.order(pair.fleet.reload, config(workers=2))
    pair.exit(1, -9)
    pair.started(4)
    assert pair.serving == [2, 4]
    pair.started(3)
    pair.started(5)
    assert pair.serving == [3, 5]
    assert pair.pids(State.RETIRING) == [2, 4]


def test_a_reload_helps_an_app_that_crashes_all_the_time() -> None:
    """P3: it begins at once, whatever the pause, and serves with the first worker that starts."""
    story = Story()
    for _ in range(8):
        story.exit(story.last_pid, 1)
        if not story.pids():
            story.wait(30)
    story.exit(story.last_pid, 1)
    story.order(story.fleet.reload, config(workers=2))
    new = max(story.pids(State.STARTING))
    story.started(new)
    assert story.serving == [new]
    assert story.take(Reloaded) == [Reloaded()]


def test_a_reload_while_the_server_starts_goes_on_beside_the_start() -> None:
    """P3: whichever is there first serves."""
    story = Story(1)
    story.order(story.fleet.reload, config(workers=1))
    assert story.pids(State.STARTING) == [1, 2]
    story.started(2)
    assert story.serving == [2]
    assert [each.member.pid for each in story.take(Terminate)] == [1]


def test_a_reload_of_an_app_that_has_never_started_ends_with_it() -> None:
    """P1: if neither the first version nor the next one can start, the server ends."""
    story = Story(1)
    story.order(story.fleet.reload, config(workers=1))
    story.fail(1)
    assert not story.take(Finish)
    story.fail(2)
    story.wait(30)
    story.fail(story.last_pid)
    assert [each.code for each in story.take(Finish)] == [3]


def test_the_number_of_workers_may_change_at_a_reload(pair: Story) -> None:
    """P3: if it is another one in the file; else a number that was ordered stays."""
    pair.order(pair.fleet.scale, 3)
    pair.started(3)
    pair.order(pair.fleet.reload, config(workers=2))
    pair.started(4)
    assert pair.pids(State.STARTING) == [5, 6]
    pair.order(pair.fleet.scale, 2)
    pair.started(5)
    assert pair.serving == [4, 5]
    pair.order(pair.fleet.reload, config(workers=1))
    pair.started(7)
    assert pair.serving == [7]


# ------------------------------------------------------------- replacement


def test_a_worker_that_has_served_enough_goes_when_another_has_started() -> None:
    """P4: the replacement first, then the retirement; one at a time."""
    story = serving(Story(max_requests=100, max_requests_jitter=5))
    story.say(1, "beat", served=104)
    assert not story.take(Fork)
    story.say(1, "beat", served=105)
    story.say(2, "beat", served=200)
    assert story.pids(State.STARTING) == [3]
    assert "worker 1 is to be replaced (max_requests: 105 requests served)" in story.lines()
    assert story.serving == [1, 2]
    story.started(3)
    assert story.told() == [(3, "serve"), (1, "retire")]
    assert story.pids(State.STARTING) == [4]
    story.started(4)
    assert story.serving == [3, 4]


def test_a_worker_that_is_too_large_or_too_old_is_replaced() -> None:
    """P4: memory is measured once a second, the age since it began to serve."""
    story = serving(Story(max_rss=2**20 * 100, max_lifetime=1000))
    member = story.fleet.roster.find(1)
    assert member is not None
    story.order(lambda now: story.fleet.measured(member, 2**20 * 100, now))
    assert not story.take(Fork)
    story.order(lambda now: story.fleet.measured(member, 2**20 * 120, now))
    story.wait(1)
    assert "worker 1 is to be replaced (max_rss: 120 MiB)" in story.lines()
    story.started(3)
    assert story.serving == [2, 3]
    story.wait(1000)
    assert "worker 2 is to be replaced (max_lifetime: " in story.lines()


def test_a_worker_that_wants_to_go_serves_until_another_has_started(pair: Story) -> None:
    """P4: SIGTERM to a single worker is no reason to lose a request."""
    pair.say(1, "retiring", why="SIGTERM")
    pair.say(1, "retiring", why="SIGTERM again")
    assert pair.serving == [1, 2]
    assert pair.pids(State.STARTING) == [3]
    pair.started(3)
    assert (1, "retire") in pair.told()
    pair.exit(1)
    assert [each.why for each in pair.take(Gone)] == ["SIGTERM"]
    assert pair.serving == [2, 3]


def test_a_worker_that_goes_by_itself_is_no_crash(pair: Story) -> None:
    """P4: it has said so before, and ends with 0."""
    pair.say(1, "retiring")
    pair.exit(1)
    assert "worker 1 has gone (it goes by itself); starting another" in pair.lines()
    pair.started(3)
    assert pair.serving == [2, 3]


def test_a_replacement_that_cannot_start_leaves_the_old_worker_serving() -> None:
    """P4: and it is tried again."""
    story = serving(Story(max_requests=100))
    story.say(1, "beat", served=100)
    story.fail(3)
    assert story.serving == [1, 2]
    assert not story.pids(State.STARTING)
    story.wait(0.5)
    assert story.pids(State.STARTING) == [4]


def test_a_worker_that_dies_while_it_is_replaced_is_replaced_once() -> None:
    """P4: the one that has been started for it takes its place."""
    story = serving(Story(max_requests=100))
    story.say(1, "beat", served=100)
    story.exit(1, -9)
    assert story.pids(State.STARTING) == [3]
    story.started(3)
    assert story.serving == story.pids() == [2, 3]


# ------------------------------------------------------------- number


def test_the_newest_go_first_if_fewer_are_wanted(pair: Story) -> None:
    """P5: those that have just been forked, then the youngest that serve."""
    pair.order(pair.fleet.scale, 4)
    pair.started(3)
    assert pair.pids(State.STARTING) == [4]
    pair.order(pair.fleet.scale, 3)
    assert [each.member.pid for each in pair.take(Terminate)] == [4]
    pair.order(pair.fleet.scale, 1)
    assert pair.serving == [1]
    assert pair.told()[-2:] == [(3, "retire"), (2, "retire")]
    for pid in (2, 3, 4):
        pair.exit(pid)
    assert pair.pids() == [1]
    assert not pair.take(Finish)


def test_a_worker_that_is_to_go_anyway_goes_first_if_fewer_are_wanted() -> None:
    """P5: nothing is started in its place any more."""
    story = serving(Story(max_requests=100))
    story.say(1, "beat", served=100)
    story.order(story.fleet.scale, 1)
    story.wait(1)
    assert story.serving == [2]
    assert (1, "retire") in story.told()
    assert [each.member.pid for each in story.take(Terminate)] == [3]


# ------------------------------------------------------------- blocked workers


def test_a_blocked_worker_is_killed_and_replaced(pair: Story) -> None:
    """P6: its stack is logged first."""
    pair.silent = (1,)
    pair.wait(29)
    assert pair.serving == [1, 2]
    pair.wait(3)
    (kill,) = pair.take(Kill)
    assert (kill.member.pid, kill.shows_stack) == (1, True)
    assert "worker 1 is blocked: its event loop has stood still" in pair.lines(logging.CRITICAL)
    assert pair.pids(State.STARTING) == [3]
    pair.exit(1, -9)
    assert [each.why for each in pair.take(Gone)] == ["blocked"]


def test_a_machine_that_stood_still_blocks_nobody(pair: Story) -> None:
    """P6: after a pause of the whole machine no worker could be heard: nobody is to blame."""
    pair.now += 3600
    pair.order(pair.fleet.tick)
    assert pair.serving == [1, 2]
    assert not pair.take(Kill)


def test_beats_do_not_put_off_the_look_at_the_others() -> None:
    """P6: however much a fleet hears of some, it looks at all once a second."""
    story = Story()
    due = story.fleet.next_time(story.now)
    for _ in range(2):
        story.now += 0.9
        story.say(1, "beat")
        assert story.fleet.next_time(story.now) == max(due, story.now)


def test_the_limit_of_blocked_workers_can_be_switched_off() -> None:
    """P6: 0 means any time."""
    story = serving(Story(timeout_worker=0))
    story.silent = (1, 2)
    story.wait(3600)
    assert story.serving == [1, 2]


def test_a_worker_that_does_not_go_in_time_is_killed(pair: Story) -> None:
    """P3: it had the grace that the settings give, and somewhat more."""
    pair.order(pair.fleet.scale, 1)
    allowed = pair.config.timeout_graceful_shutdown + pair.config.timeout_shutdown
    pair.wait(allowed)
    assert pair.pids(State.RETIRING) == [2]
    pair.wait(20)
    assert [(each.member.pid, each.shows_stack) for each in pair.take(Kill)] == [(2, True)]
    assert "worker 2 has not ended in time: killing it" in pair.lines()


def test_a_shutdown_without_a_limit_may_take_any_time() -> None:
    """P3: `timeout_shutdown` 0 is the operator's word."""
    story = serving(Story(timeout_shutdown=0))
    story.order(story.fleet.scale, 1)
    story.wait(3600)
    assert story.pids(State.RETIRING) == [2]


# ------------------------------------------------------------- stop


def test_a_stop_waits_for_all(pair: Story) -> None:
    """P2: each has the grace of the settings, and the code is 0."""
    pair.order(pair.fleet.stop)
    assert pair.told() == [(1, "stop"), (2, "stop")]
    assert (pair.fleet.state, pair.fleet.is_ready) == ("stopping", False)
    pair.exit(1)
    assert not pair.take(Finish)
    pair.order(pair.fleet.stop)
    assert pair.told() == []
    pair.exit(2)
    assert pair.take(Finish)[0] == Finish(0)


def test_a_stop_that_is_announced_first(pair: Story) -> None:
    """O1: for `delay` seconds all serve on, but the server is not ready any more."""
    pair.order(pair.fleet.stop, delay=5)
    assert (pair.fleet.state, pair.fleet.is_ready) == ("draining", False)
    pair.wait(4.9)
    assert pair.told() == []
    pair.exit(1, -9)
    assert pair.pids() == [2]
    pair.wait(0.1)
    assert pair.told() == [(2, "stop")]
    assert pair.fleet.state == "stopping"


def test_a_stop_while_workers_start(pair: Story) -> None:
    """P2: a slow import is ended by a signal; what has started and is held, is told."""
    pair.order(pair.fleet.reload, config(workers=2))
    pair.started(3)
    pair.order(pair.fleet.stop)
    assert [each.member.pid for each in pair.take(Terminate)] == [4]
    assert sorted(pair.told()) == [(1, "stop"), (2, "stop"), (3, "stop")]
    assert [each.error for each in pair.take(Reloaded)] == ["the server stops"]
    pair.order(pair.fleet.reload, config(workers=2))
    assert [each.error for each in pair.take(Reloaded)] == ["the server stops"]
    for pid in (1, 2, 3, 4):
        pair.exit(pid)
    assert pair.take(Finish)[0] == Finish(0)


def test_a_stop_before_the_first_worker_is_forked() -> None:
    """P2: nothing is started any more."""
    fleet = Fleet(config(workers=2), lambda most: 0)
    fleet.start(0)
    fleet.stop(0)
    actions = fleet.take_actions()
    assert actions[-1] == Finish(0)
    assert fleet.roster.by_slot == {}


def test_a_second_sigint_cuts(pair: Story) -> None:
    """P2: workers are told, and killed half a second later; the code is that of a SIGINT."""
    pair.order(pair.fleet.stop)
    pair.order(pair.fleet.cut)
    pair.order(pair.fleet.cut)
    assert pair.told()[2:] == [(1, "cut"), (2, "cut")]
    pair.exit(1)
    pair.wait(0.5)
    assert [each.member.pid for each in pair.take(Kill)] == [2]
    assert not pair.take(Finish)
    pair.exit(2, -9)
    assert pair.take(Finish)[0] == Finish(130)


def test_a_process_that_cannot_even_be_killed_is_left_behind(pair: Story) -> None:
    """P2: one that hangs in the kernel ends when that lets it; the server ends before."""
    pair.order(pair.fleet.stop)
    pair.order(pair.fleet.cut)
    pair.exit(1)
    pair.wait(6)
    assert pair.take(Finish)[0] == Finish(130)


# ------------------------------------------------------------- nonsense


def test_what_workers_say_out_of_place_is_ignored(pair: Story) -> None:
    """Workers may be of another version, or out of their mind."""
    pair.say(1, "started")
    pair.say(1, "sandwich")
    pair.say(1, "beat", served="many", busy=True, connections=3, figures=[])
    member = pair.fleet.roster.find(1)
    assert isinstance(member, Member)
    assert (member.beat["served"], member.beat["busy"], member.beat["connections"]) == (0, 0, 3)
    assert member.figures is None
    pair.say(1, "beat", figures={"requests": {}})
    assert member.figures == {"requests": {}}
    assert pair.serving == [1, 2]


def test_one_that_is_to_stop_anyway_may_say_that_it_could_not_start() -> None:
    """P2: it has a deadline already."""
    story = Story()
    story.order(story.fleet.stop)
    story.fail(1)
    assert story.take(Finish)[0].code == 0


def test_a_worker_that_says_it_cannot_start_and_hangs_is_killed() -> None:
    """P1: it has said what there is to say."""
    story = Story()
    story.say(1, "failed", code="three")
    story.wait(5)
    assert [each.member.pid for each in story.take(Kill)] == [1]


def test_a_first_worker_that_announces_nothing() -> None:
    """The address is announced all the same."""
    story = Story()
    story.say(1, "started")
    assert story.take(Announce) == [Announce(())]


def test_a_version_that_cannot_start_waits_for_a_change() -> None:
    """P9: with `--reload` the server does not end, nor try the same code again and again."""
    story = Story(reload=True)
    story.fail(1)
    assert "could not start: waiting until a file changes" in story.lines()
    story.wait(60)
    assert story.pids() == []
    story.order(story.fleet.reload, story.config)
    story.fail(2)
    assert "the reload was given up, and waiting until a file changes" in story.lines()
    story.wait(60)
    assert story.pids() == []
    story.order(story.fleet.reload, story.config)
    story.started(3)
    assert story.serving == [3]
    assert story.pids() == [3, 4]
    assert not story.take(Finish)
