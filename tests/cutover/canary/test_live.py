"""The canary of one process: it counts, judges, and switches."""

from __future__ import annotations

import logging
import sys
import threading
from multiprocessing import process
from pathlib import Path
from typing import Any

import pytest

import bridge.cutover.app as app_module
from bridge import Cutover
from bridge.cutover.canary.hook import Rollback
from bridge.cutover.canary.live import LiveCanary, workers_beside
from bridge.cutover.route import Route
from bridge.cutover.switches import Switches
from bridge.errors import ConfigError
from bridge.types import Receive, Scope, Send
from tests.support.waiting import eventually

GATE = {"window": "60s", "min_requests": 20, "max_error_points": 1}


class Clock:
    """A time that passes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Site:
    """Switches and their canary, with a clock of their own."""

    def __init__(self, *routes: Route, draws: int = 4711) -> None:
        self.clock = Clock()
        self.switches = Switches(routes, lambda route: None)
        self.canary = LiveCanary(self.switches, self.clock, lambda most: draws)

    def route(self, name: str = "a") -> Route:
        """The route as it is now."""
        found = self.switches.table.route(name)
        assert found is not None
        return found

    def serve(self, requests: int, *, failed: int = 0, seconds: float = 0.01) -> None:
        """So many requests on each side, of which so many fail on the new one; then 1 s."""
        for number in range(requests):
            self.canary.observe(self.route(), "old", 200, seconds)
            status = 500 if number < failed else 200
            self.canary.observe(self.route(), "new", status, seconds)
        self.clock.now += 1
        self.canary.look()


def canary(**more: Any) -> Route:
    """The route that is tried."""
    return Route("a", "/a", mode="canary", **{"share": 25, "gate": GATE, **more})


# ------------------------------------------------------------- who answers


@pytest.mark.parametrize(("place", "side"), [(0, "new"), (2499, "new"), (2500, "old")])
def test_the_place_tells_the_side(place: int, side: str) -> None:
    """M20: a client without a cookie is drawn, and gets one; with it it stays."""
    site = Site(canary(), draws=place)
    choice = site.canary.choose(site.route(), {"scheme": "https"})
    assert choice.side == side
    assert choice.field is not None
    assert choice.field[1].startswith(b"bridge_canary=%d; " % place)
    assert choice.field[1].endswith(b"; Secure")
    known = {"headers": [(b"cookie", b"bridge_canary=%d" % place)]}
    assert site.canary.choose(site.route(), known) == (side, None)


def test_what_the_app_has_needs_no_cookie() -> None:
    """M20: a field of the request, or the address, and who has none gets the old app."""
    site = Site(canary(sticky="client", share=99))
    known = site.canary.choose(site.route(), {"client": ("192.0.2.1", 1)})
    assert known == ("new", None)
    assert site.canary.choose(site.route(), {"client": None}) == ("old", None)


# ------------------------------------------------------------- gates and steps


def test_a_gate_takes_the_new_app_back(caplog: pytest.LogCaptureFixture) -> None:
    """M21: at the end of a request; one line says why, and the hook is called once."""
    told: list[Rollback] = []
    site = Site(canary(on_rollback=told.append))
    site.serve(100)
    assert site.route().mode == "canary"
    for _ in range(3):
        site.serve(300, failed=30)
    assert site.route().mode == "old"
    (record,) = caplog.records
    assert record.getMessage() == (
        "route a: everything goes to the old app, 25 % were on the new one: in the last 60 s 7.5 % "
        "of 400 requests failed in the new app, 0.0 % of 400 in the old one; max_error_points is 1"
    )
    eventually(lambda: told)
    assert [(event.route, event.share) for event in told] == [("a", 25.0)]
    standing = site.canary.standing("a")
    assert standing is not None
    assert (standing.state, standing.rollbacks) == ("rolled back", 1)
    assert site.canary.rollbacks() == {"a": 1}


def test_a_gate_takes_back_what_answers_404(caplog: pytest.LogCaptureFixture) -> None:
    """M21: if the old app does not; and after a start at a share of 100 nobody can tell."""
    gate = {**GATE, "max_client_error_points": 5}
    for share, mode in ((25, "old"), (100, "canary")):
        site = Site(canary(gate=gate, share=share))
        for _ in range(100):
            if share < 100:
                site.canary.observe(site.route(), "old", 200, 0.01)
            site.canary.observe(site.route(), "new", 404, 0.01)
        site.clock.now += 1
        site.canary.look()
        assert site.route().mode == mode
    (record,) = caplog.records
    assert "100.0 % of 100 requests were answered by an error of the client" in record.getMessage()


def test_a_request_looks_at_most_once_a_second() -> None:
    """M21: nothing else is needed, no timer and no loop."""
    site = Site(canary())
    site.canary.look()
    for _ in range(100):
        site.canary.observe(site.route(), "old", 200, 0.01)
        site.canary.observe(site.route(), "new", 503, 0.01)
    assert site.route().mode == "canary"
    site.clock.now += 1
    site.canary.observe(site.route(), "old", 200, 0.01)
    assert site.route().mode == "old"


def test_it_climbs_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """M21: step by step, and what a person sets goes before."""
    caplog.set_level(logging.INFO)
    site = Site(canary(share=None, steps=[1, 50, 100], step_time=10))
    for _ in range(12):
        site.serve(5)
    assert site.route().share == 50.0
    assert "route a: 50 % are on the new app now: the gate held at 1 %" in caplog.text
    site.switches.set("a", "canary", 30)
    for _ in range(30):
        site.serve(5)
    assert site.route().share == 30.0
    standing = site.canary.standing("a")
    assert standing is not None
    assert standing.state == "by hand"


def test_slow_ones_count_and_websockets_and_clients_that_left_do_not() -> None:
    """M21: p95 is of requests; a status of 0 is none, and a WebSocket has no duration."""
    site = Site(canary(gate={"window": 60, "min_requests": 20, "max_p95_ratio": 2}))
    for _ in range(100):
        site.canary.observe(site.route(), "new", 101, None)
        site.canary.observe(site.route(), "new", 0, 3600.0)
        site.canary.observe(site.route(), "old", 200, 0.01)
    site.serve(50)
    assert site.route().mode == "canary"
    for _ in range(50):
        site.canary.observe(site.route(), "new", 200, 1.0)
    site.serve(1)
    assert site.route().mode == "old"


def test_a_person_begins_again() -> None:
    """M21: a route that was taken back, was new, or has another gate begins with no counts."""
    site = Site(canary())
    site.serve(100, failed=50)
    assert site.route().mode == "old"
    site.switches.set("a", "canary", 5)
    site.serve(10, failed=10)
    assert (site.route().mode, site.route().share) == ("canary", 5.0)
    site.switches.replace([Route("b", "/b")])
    site.canary.look()
    assert site.canary.standing("a") is None
    site.canary.observe(Route("b", "/b"), "old", 200, 0.1)


def test_a_gate_that_a_route_gains_while_it_serves_is_judged() -> None:
    """M21: such as by its file: from the next request on, as one that it had at the start."""
    site = Site(canary(gate=None))
    site.canary.observe(site.route(), "new", 500, 0.01)
    site.switches.replace([canary()])
    for _ in range(100):
        site.canary.observe(site.route(), "old", 200, 0.01)
        site.canary.observe(site.route(), "new", 503, 0.01)
        site.clock.now += 0.1
    assert site.route().mode == "old"


def test_what_began_before_a_switch_says_nothing_of_the_share_set_then() -> None:
    """M21: 40 requests that hang, and end when the route is a canary again, at another share."""
    site = Site(canary())
    before = site.route()
    site.switches.set("a", "old")
    site.switches.set("a", "canary", 10)
    site.serve(60)
    for _ in range(40):
        site.canary.observe(before, "new", 504, 30.0)
    site.serve(1)
    assert (site.route().mode, site.route().share) == ("canary", 10.0)
    assert site.canary.take()["a"].new.requests == 0


def test_rows_that_say_the_same_interrupt_no_count() -> None:
    """M21: a request that began before the file was read again counts, if its row is as before."""
    site = Site(canary())
    before = site.route()
    site.switches.replace([canary(), Route("b", "/b", mode="new")])
    assert site.route() is before
    site.canary.look()
    site.canary.observe(before, "new", 500, 0.01)
    assert site.canary.take()["a"].new.failed == 1


def test_two_threads_do_not_look_at_once() -> None:
    """M21: the second one leaves it to the first."""
    inside, leave = threading.Event(), threading.Event()

    class Slow(Clock):
        slow = False

        def __call__(self) -> float:
            if self.slow and threading.current_thread() is not threading.main_thread():
                inside.set()
                leave.wait(20)
            return self.now

    site = Site(canary())
    clock = Slow()
    site.canary = LiveCanary(site.switches, clock)
    clock.slow = True
    thread = threading.Thread(target=site.canary.look)
    thread.start()
    assert inside.wait(20)
    site.canary.look()
    leave.set()
    thread.join(20)
    assert site.route().mode == "canary"


def test_a_rescue_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """M22: the log has what the new app raised; that it is a failure is said at its end."""
    site = Site(canary(rescue=True))
    for _ in range(25):
        site.canary.rescued(site.route(), ValueError("no"))  # never raised: it has no place
    site.serve(100)
    assert (site.canary.rescues, site.route().mode) == ({"a": 25}, "canary")
    record = caplog.records[0]
    assert record.getMessage() == (
        "the new app failed a request of route a, which the old app answers"
    )
    assert "ValueError: no" in caplog.text


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the old app."""


async def new(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the new app."""


class Settings:
    """What a server has been told: of uvicorn, Hypercorn or Gunicorn."""

    def __init__(self, workers: int, *, reload: bool = False) -> None:
        self.workers, self.reload = workers, reload


@pytest.mark.parametrize(
    ("settings", "workers"), [(Settings(4), 4), (Settings(1), 1), (Settings(4, reload=True), 1)]
)
def test_a_process_of_uvicorn_or_hypercorn_knows_of_others(
    settings: Settings, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M21: however it was told, by a command or by a script; a reload has one."""
    monkeypatch.setattr(process.current_process(), "_kwargs", {"config": settings}, raising=False)
    assert workers_beside() == 1  # it has started this process itself
    monkeypatch.setattr(process, "parent_process", object)
    assert workers_beside() == workers


def test_a_process_of_gunicorn_knows_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """M21: it loads the app, with a worker of whatever kind."""
    monkeypatch.setitem(sys.modules, "gunicorn", sys)
    place: dict[str, Any] = {"__name__": "gunicorn.app.base"}
    exec(
        "def load(self, call):\n    return found(call)\ndef found(call):\n    return call()", place
    )
    loader = type("Loader", (), {"cfg": Settings(2)})()
    assert place["load"](loader, workers_beside) == 2
    assert workers_beside() == 1


def test_a_worker_of_another_server_refuses_a_gate(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """M21: each would decide for itself; also one that the file gains later."""
    monkeypatch.setattr(app_module, "workers_beside", lambda: 4)
    file = tmp_path / "cutover.toml"
    row = '[[routes]]\nname = "a"\npaths = "/a"\nmode = "canary"\nshare = 5\n'
    file.write_text(row)
    cutover = Cutover(app, new, str(file))
    file.write_text(row + 'gate = { window = "60s" }\n')
    says = "route a has a gate, and this server has 4 workers"
    with pytest.raises(ConfigError, match=says):
        cutover.reread()
    assert cutover.table.routes[0].gate is None
    with pytest.raises(ConfigError, match=says):
        Cutover(app, new, str(file))
    cutover.count_only()  # somebody decides for all
    cutover.reread()
    assert cutover.table.routes[0].gate is not None
