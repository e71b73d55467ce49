"""The ramp of a supervisor, with workers that only stand in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bridge import Route
from bridge.cutover import editing
from bridge.cutover.canary.counts import Counts
from bridge.cutover.observed.board import SIZE, Board
from bridge.cutover.settings_file import given_texts
from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import BLOCKED, Fork, Gone, Member, State
from bridge.server.process.ramp import ramp as module
from bridge.server.process.ramp.ramp import Ramp

FILE = """[[routes]]
name = "a"
paths = "/a"  # ours
mode = "canary"
share = 50
gate = { window = "60s", max_error_points = 1 }

[[routes]]
name = "b"
paths = "/b"
"""


class Server:
    """A ramp with two workers; `told` is what each has been told."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.fleet = Fleet(Config(), lambda most: 0)
        self.told: list[tuple[int, Any]] = []
        self.loop = loop
        self.ramp = Ramp(
            loop, self.fleet, lambda member, said: self.told.append((member.pid, said))
        )
        self.one, self.two = self.worker(1), self.worker(2)

    def worker(self, number: int, generation: int = 1) -> Member:
        member = Member(number, generation, 0.0, pid=number, state=State.SERVING)
        self.fleet.roster.by_slot[number] = member
        return member

    def hear(self, *members: Member, **message: Any) -> None:
        for member in members:
            self.ramp.hear(member, message)

    def follow(self, *members: Member, error: str = "") -> None:
        """Have these follow what they were told last."""
        serial = self.told[-1][1]["serial"]
        self.hear(*members, type="routes-set", serial=serial, error=error)

    def fail(self, serial: int) -> None:
        """Have the new app fail in both workers."""
        counts = {"a": [Counts(500).as_json(), Counts(500, 100).as_json()]}
        for member in (self.one, self.two):
            self.hear(member, type="beat", ramp={"serial": serial, "counts": counts})
        self.ramp._look()

    @property
    def modes(self) -> Any:
        """What the workers were told last."""
        return next(said for _, said in reversed(self.told) if said["type"] == "routes")["modes"]

    def answer(self, *order: Any) -> str:
        """Give an order, and wait for its answer, which is short."""
        return self.loop.run_until_complete(self.ramp.switch(*order))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    loop = asyncio.new_event_loop()
    server = Server(loop)
    yield server
    server.ramp.close()
    loop.close()
    given_texts.clear()


@pytest.fixture
def file(tmp_path: Path, server: Server) -> Path:
    """The file of the server, which has read it."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE)
    server.ramp.open(Config(cutover=str(file)))
    return file


def test_a_server_without_a_cutover_has_nothing_to_tell(server: Server) -> None:
    """M3, M5: an order says so."""
    server.ramp.open(Config(app="m:app"))
    server.ramp.welcome(server.one)
    assert (server.told, server.ramp.figures()) == ([], {})
    for order in (server.ramp.status, lambda: server.ramp.switch("a", "new", None)):
        with pytest.raises(ConfigError, match="this server has no cutover; start it with"):
            order()


def test_a_gate_that_breaks_is_told_to_all_and_kept_in_the_file(
    server: Server, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """M21: comments stay; one worker calls the hook; the figures are the server's."""
    server.ramp.welcome(server.one)
    serial = server.told[-1][1]["serial"]
    server.told.clear()
    server.fail(serial)
    assert [pid for pid, said in server.told if said["type"] == "routes"] == [1, 2]
    assert server.modes == {"a": ("old", None), "b": ("old", None)}
    (hook,) = [said for _, said in server.told if said["type"] == "rolled-back"]
    assert (hook["route"], hook["share"]) == ("a", 50)
    assert 'paths = "/a"  # ours\nmode = "old"' in file.read_text()
    assert "route a: everything goes to the old app" in caplog.text
    (family,) = server.ramp.figures().values()
    assert family["samples"] == [[{"route": "a"}, 1]]
    file.write_text(FILE)  # and a person says else
    server.ramp.reload(Config(cutover=str(file)))
    server.ramp.welcome(server.worker(3, generation=2))
    assert server.modes["a"] == ("canary", 50)


def test_what_the_release_before_still_counts_is_not_judged(server: Server, file: Path) -> None:
    """M21: its requests end while the next one serves, and say nothing of it."""
    server.ramp.welcome(server.one)
    server.ramp.reload(Config(cutover=str(file)))
    server.ramp.welcome(server.worker(3, generation=2))
    server.fail(server.told[-1][1]["serial"])
    assert server.modes["a"] == ("canary", 50)


def test_what_cannot_be_kept_is_in_force_all_the_same(
    server: Server, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """M3, M5, M21: a rollback, and an order in an emergency, beside a file that is half edited."""
    server.ramp.welcome(server.one)
    file.write_text(FILE + "[[rou")
    server.fail(server.told[-1][1]["serial"])
    assert "is on the old app, and its file does not say so" in caplog.text
    a, _ = server.ramp.status()["routes"]
    assert (a["mode"], a["steps"], a["rollbacks"]) == ("old", "rolled back", 1)
    assert "is not TOML" in a["not_kept"]
    assert "is not TOML" in server.answer("b", "new", None)
    assert server.modes == {"a": ("old", None), "b": ("new", None)}
    with pytest.raises(ConfigError, match="is not TOML"):
        server.ramp.reload(Config(cutover=str(file)))
    server.ramp.forking(Fork(server.worker(3), Config()))
    assert given_texts == {str(file): FILE}
    file.write_text(FILE)
    server.ramp.reload(Config(cutover=str(file)))
    server.ramp.welcome(server.worker(4, generation=2))
    assert server.modes == {"a": ("old", None), "b": ("new", None)}
    server.answer("a", "canary", None)  # as the file says, and a person now, too
    assert server.modes["a"] == ("canary", 50)


class Stacks:
    """The file of a worker that has died, with what it has left of route a."""

    def __init__(self, serial: int, **sides: int) -> None:
        memory = bytearray(SIZE)
        route = Route("a", "/a", mode="canary", share=50, gate={"window": 60})
        board = Board(memoryview(memory))
        board.follow([route], serial)
        for side, number in sides.items():
            for _ in range(number):
                board.begin(route, side)
        board.end(route, "old")
        board.note(route, "old", failed=False)
        self.read_board = partial(bytes, memory)


def lose(server: Server, member: Member, **sides: int) -> None:
    """Have a worker die with so many requests open, and one of the old app's not told."""
    stacks: Any = Stacks(server.told[-1][1]["serial"], **sides)
    server.ramp._stacks = {member: stacks}.get
    server.ramp.note(Gone(member, "crash"))


def test_what_a_worker_takes_with_it_has_failed(server: Server, file: Path) -> None:
    """M23: on both sides alike; it is looked at in the same moment, and can be seen."""
    server.ramp.welcome(server.one)
    lose(server, server.two, old=100, new=100)
    a, _ = server.ramp.status()["routes"]
    assert (a["old"]["requests"], a["old"]["errors"]) == (100, 99)
    assert (a["new"]["requests"], a["new"]["errors"]) == (100, 100)
    assert server.modes["a"] == ("canary", 50)
    lose(server, server.worker(3), old=2, new=1)
    lose(server, server.worker(4), old=200, new=1)
    assert server.modes["a"] == ("canary", 50)
    counts = {"a": [Counts(2000).as_json(), Counts(0).as_json()]}
    serial = server.told[-1][1]["serial"]
    server.hear(server.one, type="beat", ramp={"serial": serial, "counts": counts})
    lose(server, server.worker(5), old=1, new=1)
    assert server.modes["a"] == ("old", None)
    assert 'mode = "old"' in file.read_text()


@pytest.mark.parametrize("why", ["told", "too late", "hung", "old release", "stops"])
def test_a_worker_that_was_to_go_has_lost_nothing(server: Server, file: Path, why: str) -> None:
    """M23: one that hung, and was killed for that, has: its app is to blame."""
    server.ramp.welcome(server.one)
    two = server.two
    match why:
        case "told":
            two.told_to_stop = True
        case "hung":
            two.state, two.leaving = State.KILLED, BLOCKED
        case "too late":
            two.state, two.leaving = State.KILLED, "reload"
        case "old release":
            two.generation = 0
        case _:
            server.fleet.is_stopping = True
    lose(server, two, old=1, new=4)
    a, _ = server.ramp.status()["routes"]
    assert a["new"]["errors"] == (4 if why == "hung" else 0)


def test_an_order_says_how_many_workers_follow(server: Server, file: Path) -> None:
    """M3: at once if all do; else after a while, with what is wrong."""
    server.ramp.welcome(server.one)
    answer = server.ramp.switch("a", "canary", "7")
    server.follow(server.one)
    assert not answer.done()
    server.follow(server.two, error="no such hook")
    assert answer.result() == "a canary 7 % (2 of 2 workers); no such hook"
    assert "share = 7" in file.read_text()
    assert server.answer("a", "new", None) == "a new (0 of 2 workers); no such hook"
    answer = server.ramp.switch("b", "new", None)
    server.follow(server.one)
    del server.fleet.roster.by_slot[2]
    server.ramp.note(Gone(server.two, "crash"))
    assert answer.result() == "b new (1 of 1 worker)"
    server.fleet.wanted = 3
    answer = server.ramp.switch("b", "new", None)
    server.follow(server.one)
    assert answer.result() == "b new (1 of 3 workers, 2 still to start)"
    for order in (("x", "new", None), ("a", "never", None), ("a", "canary", 150)):
        with pytest.raises(ConfigError):
            server.ramp.switch(*order)
    assert server.modes == {"a": ("new", None), "b": ("new", None)}


def test_the_status_says_what_is_in_force_and_how_it_goes(server: Server, file: Path) -> None:
    """M3: not what the file says; figures of workers that are gone stay."""
    server.ramp.welcome(server.one)
    about = {"cutovers": [], "new_failed": "no database"}
    server.hear(server.two, type="started", app=[], ramp=about)
    server.follow(server.one)
    file.write_text(FILE.replace('"canary"', '"new"'))
    totals = {"sides": [["a", "new", 4, 1, [4, *[0] * 15]]], "copies": {"b": {"different": 2}}}
    for _ in range(2):
        server.hear(server.one, type="beat", ramp={"serial": 1, "counts": {}, "totals": totals})
    server.hear(server.two, type="beat", ramp={"serial": 1, "counts": {}, "totals": totals})
    server.ramp.note(Gone(server.two, "crash"))
    server.hear(server.two, type="started", app=[], ramp=about)
    status = server.ramp.status()
    a, b = status["routes"]
    assert (a["mode"], a["share"], a["gate"], a["copies"]) == ("canary", 50, "waits", None)
    assert (a["old"]["requests"], a["new"]["requests"], a["new"]["errors"]) == (0, 8, 2)
    assert b["copies"] == {"different": 4}
    assert status["new_failed"] == "no database"
    one, two = status["workers"]
    assert (one["follows"], one["new_failed"]) == (True, False)
    assert (two["follows"], two["new_failed"]) == (False, True)


def test_routes_in_python_are_told_by_the_first_worker(server: Server) -> None:
    """M3, M21: a switch lasts until the server ends; a new generation tells anew."""
    server.ramp.open(Config(app="m:app"))
    row = {"name": "a", "paths": ["/a"], "mode": "canary", "share": 5.0}
    about = {"cutovers": [{"path": None, "routes": [row]}], "new_failed": ""}
    server.hear(server.one, server.two, type="started", app=[], ramp=about)
    assert server.modes == {"a": ("canary", 5)}
    assert "it is not kept: it is in the code" in server.answer("a", "old", None)
    server.ramp.reload(Config(app="m:app"))
    third = server.worker(3, generation=2)
    other = {"name": "c", "paths": ["/c"], "mode": "new", "share": None}
    about = {"cutovers": [{"path": None, "routes": [row, other]}], "new_failed": ""}
    server.hear(third, type="started", app=[], ramp=about)
    assert server.modes == {"a": ("old", None)}  # it does not serve yet
    server.ramp.welcome(third)
    assert server.modes == {"a": ("old", None), "c": ("new", None)}


def test_a_new_generation_without_a_cutover(server: Server) -> None:
    """M3: there is nothing to follow any more, and so nobody is late; a later one may have it."""
    server.ramp.open(Config(app="m:app"))
    row = {"name": "a", "paths": ["/a"], "mode": "new", "share": None}
    about = {"cutovers": [{"path": None, "routes": [row]}], "new_failed": ""}
    server.hear(server.one, type="started", app=[], ramp=about)
    for number, ramp in ((2, {}), (3, {"ramp": about})):
        server.ramp.reload(Config(app="m:app"))
        member = server.worker(1, generation=number)
        server.hear(member, type="started", app=[], **ramp)
        server.ramp.welcome(member)
        if not ramp:
            with pytest.raises(ConfigError, match="this server has no cutover"):
                server.ramp.status()
            with pytest.raises(ConfigError, match="this server has no cutover"):
                server.answer("a", "old", None)
    assert [each["route"] for each in server.ramp.status()["routes"]] == ["a"]


def test_a_new_release_is_judged_by_what_it_does_itself(server: Server, file: Path) -> None:
    """M21: what the release before has failed, nearly too often, is none of its faults."""
    server.ramp.welcome(server.one)

    def failing(member: Member, failed: int) -> None:
        counts = {"a": [Counts(500).as_json(), Counts(500, failed).as_json()]}
        serial = server.told[-1][1]["serial"]
        server.hear(member, type="beat", ramp={"serial": serial, "counts": counts})

    failing(server.one, 100)
    server.ramp.reload(Config(cutover=str(file)))
    third = server.worker(3, generation=2)
    server.ramp.welcome(third)
    server.ramp._look()
    assert server.modes["a"] == ("canary", 50)
    failing(third, 0)
    server.ramp._look()
    assert server.modes["a"] == ("canary", 50)
    failing(third, 100)
    server.ramp._look()
    assert server.modes["a"] == ("old", None)


def test_what_cannot_be_understood_is_told(
    server: Server, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """M5: routes of a worker that are none; what was in force stays."""
    about = {"cutovers": [{"path": None, "routes": [{"name": "?", "paths": 1}]}], "new_failed": ""}
    with caplog.at_level(logging.ERROR):
        server.hear(server.one, type="started", app=[], ramp=about)
    assert "the routes stay as they were: the name of a route is '?'" in caplog.text
    assert [each["route"] for each in server.ramp.status()["routes"]] == ["a", "b"]


class TestWhatIsDecidedWhileAReloadIsUnderWay:
    """It stands when the next generation serves, whose rows were read before."""

    def test_an_order(self, server: Server, file: Path) -> None:
        """M3: also for a worker of that generation which is forked later."""
        server.ramp.welcome(server.one)
        server.ramp.reload(Config(cutover=str(file)))
        server.answer("a", "old", None)
        server.answer("b", "canary", 7)
        third = server.worker(3, generation=2)
        server.ramp.forking(Fork(third, Config()))
        (text,) = given_texts.values()
        assert text == file.read_text() != FILE
        server.ramp.welcome(third)
        assert server.modes == {"a": ("old", None), "b": ("canary", 7)}
        server.ramp.reload(Config(cutover=str(file)))  # and it stands beside the row, as ever
        file.write_text(FILE)
        server.ramp.reload(Config(cutover=str(file)))  # a person says else
        server.ramp.welcome(server.worker(4, generation=4))
        assert server.modes == {"a": ("canary", 50), "b": ("old", None)}

    def test_a_gate_that_breaks(self, server: Server, file: Path) -> None:
        """M21: the new app gets nothing again because somebody has sent SIGHUP."""
        server.ramp.welcome(server.one)
        server.ramp.reload(Config(cutover=str(file)))
        server.fail(server.told[-1][1]["serial"])
        server.ramp.welcome(server.worker(3, generation=2))
        assert server.modes["a"] == ("old", None)
        a, _ = server.ramp.status()["routes"]
        assert (a["mode"], a["steps"], a["rollbacks"]) == ("old", "rolled back", 1)

    def test_a_route_in_the_code(self, server: Server) -> None:
        """M3: its row may be another one in the new code; a person has spoken later."""
        server.ramp.open(Config(app="m:app"))
        row = {"name": "a", "paths": ["/a"], "mode": "new", "share": None}
        about = {"cutovers": [{"path": None, "routes": [row]}], "new_failed": ""}
        server.hear(server.one, type="started", app=[], ramp=about)
        server.ramp.reload(Config(app="m:app"))
        server.answer("a", "old", None)
        third = server.worker(3, generation=2)
        row["mode"], row["share"] = "canary", 50.0
        server.hear(third, type="started", app=[], ramp=about)
        server.ramp.welcome(third)
        assert server.modes == {"a": ("old", None)}

    def test_a_second_reload(self, server: Server) -> None:
        """M3: a worker of the first one, which was given up, tells the second one nothing."""
        server.ramp.open(Config(app="m:app"))
        server.ramp.reload(Config(app="m:app"))
        server.ramp.reload(Config(app="m:app"))
        for number, generation in ((3, 2), (4, 3)):
            row = {"name": f"r{generation}", "paths": ["/a"], "mode": "new", "share": None}
            about = {"cutovers": [{"path": None, "routes": [row]}], "new_failed": ""}
            member = server.worker(number, generation)
            server.hear(member, type="started", app=[], ramp=about)
        server.ramp.welcome(member)
        assert server.modes == {"r3": ("new", None)}


def test_an_order_is_in_force_before_it_is_kept(
    server: Server, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M3: whatever the file costs, the workers know by then."""
    server.ramp.welcome(server.one)
    seen = []
    monkeypatch.setattr(editing, "_replace", lambda *args: seen.append(server.modes["a"]))
    server.answer("a", "old", None)
    assert seen == [("old", None)]


def test_a_route_that_was_just_written_can_be_switched(server: Server, file: Path) -> None:
    """M3: the file is read again for it; where it cannot be, the error says that, too."""
    server.ramp.welcome(server.one)
    server.told.clear()
    file.write_text(FILE + '[[routes]]\nname = "c"\npaths = "/c"\n')
    assert server.answer("c", "new", None).startswith("c new")
    assert server.modes["c"] == ("new", None)
    assert any(str(file) in said["texts"] for pid, said in server.told if pid == 2)
    file.write_text("[[routes")
    with pytest.raises(ConfigError, match=r"there is no route d.*is not TOML"):
        server.ramp.switch("d", "new", None)


def test_a_route_in_the_code_beside_a_file(server: Server, file: Path) -> None:
    """M3: the file has nothing to do with it."""
    row = {"name": "z", "paths": ["/z"], "mode": "old", "share": None}
    about = [{"path": str(file), "routes": []}, {"path": None, "routes": [row]}]
    ramp = {"cutovers": about, "new_failed": ""}
    server.hear(server.one, type="started", app=[], ramp=ramp)
    assert "it is not kept: it is in the code" in server.answer("z", "new", None)
    assert server.modes["z"] == ("new", None)


def test_a_text_is_told_once(server: Server, file: Path) -> None:
    """M3: a switch of a large file is a small message."""
    server.ramp.welcome(server.one)
    server.told.clear()
    server.ramp.welcome(server.one)
    ((_, said),) = server.told
    assert said["texts"] == {}
