"""What the gates and steps of all routes come to."""

from __future__ import annotations

from bridge.cutover.canary.controller import Change, Controller, Standing
from bridge.cutover.canary.counts import Counts, Sides
from bridge.cutover.canary.settings import CanarySettings

GATED = CanarySettings(gate={"window": 60, "min_requests": 20, "max_error_points": 1})
CLIMBING = CanarySettings(gate=GATED.gate, steps=[1, 5, 100], step_time=100)


def requests(number: int, failed: int = 0) -> Sides:
    """So many requests on each side, of which so many failed on the new one."""
    return Sides(Counts(number), Counts(number, failed))


def controller(settings: CanarySettings, share: float | None) -> Controller:
    """One that has the route ``invoices`` in mode canary."""
    made = Controller()
    made.use("invoices", settings, "canary", share, 0.0)
    return made


def test_a_gate_that_breaks_sends_everything_to_the_old_app_at_once() -> None:
    """M21: one change, with its reason; then nothing more, until a person says else."""
    decides = controller(GATED, 25)
    decides.count("invoices", requests(100), 1.0)
    assert decides.look(1.0) == []
    for worker in range(4):  # what several workers have counted adds up
        decides.count("invoices", requests(100, 5), 2.0 + worker / 10)
    (change,) = decides.look(3.0)
    reason = change.reason
    assert change == Change("invoices", "old", None, reason, 25)
    assert reason.startswith(
        "in the last 60 s 4.0 % of 500 requests failed in the new app, 0.0 % of 500"
    )
    decides.count("invoices", requests(100, 100), 4.0)  # what was still on its way
    assert decides.look(4.0) == []
    assert decides.standing("invoices", 4.0) == Standing("rolled back", "breaks", reason, 0, 1)
    decides.use("invoices", GATED, "old", None, 5.0)  # its own decision comes back to it
    after = decides.standing("invoices", 5.0)
    assert after == Standing("rolled back", "breaks", reason, 0, 1)


def test_a_person_begins_again_after_that() -> None:
    """M21: nothing that was counted before counts then; the number of rollbacks stays."""
    decides = controller(CLIMBING, None)
    decides.count("invoices", requests(200, 20), 1.0)
    assert [change.mode for change in decides.look(1.0)] == ["old"]
    decides.use("invoices", CLIMBING, "canary", 5, 10.0)
    assert decides.look(11.0) == []
    assert decides.standing("invoices", 11.0) == Standing(
        "climbs", "waits", "0 requests on the old app; min_requests is 20", 99.0, 1
    )


def test_it_climbs_step_by_step() -> None:
    """M21: each step counts from its own beginning, and ends at the top."""
    decides = controller(CLIMBING, None)
    changes: list[Change] = []
    for second in range(1, 400):
        decides.count("invoices", requests(1), float(second))
        changes += decides.look(float(second))
    assert changes == [
        Change("invoices", "canary", 5, "the gate held at 1 %", 1),
        Change("invoices", "canary", 100, "the gate held at 5 %", 5),
    ]
    standing = decides.standing("invoices", 400.0)
    assert standing is not None
    assert standing.state == "at the top"
    decides.use("invoices", CLIMBING, "canary", 100, 401.0)  # its own decision comes back to it
    assert decides.standing("invoices", 401.0) == standing


def test_a_share_that_a_person_sets_stays() -> None:
    """M21: the gate still watches it."""
    decides = controller(CLIMBING, 1)
    decides.use("invoices", CLIMBING, "canary", 7, 10.0)
    decides.count("invoices", requests(100), 11.0)
    assert decides.look(5000.0) == []
    standing = decides.standing("invoices", 5000.0)
    assert standing is not None
    assert (standing.state, standing.gate) == ("by hand", "holds")
    decides.count("invoices", requests(500, 100), 5001.0)
    assert [change.mode for change in decides.look(5001.0)] == ["old"]


def test_a_route_without_a_gate_is_left_alone() -> None:
    """M21: nothing is counted for it, and it has no state."""
    decides = controller(CanarySettings(), 25)
    decides.count("invoices", requests(100, 100), 1.0)
    assert decides.look(1.0) == []
    assert decides.standing("invoices", 1.0) == Standing("", "", "", 0.0, 0)


def test_other_modes_and_other_settings_begin_anew() -> None:
    """M21: what is no canary is not judged; a gate that is set anew has seen nothing."""
    decides = controller(GATED, 25)
    decides.count("invoices", requests(15, 15), 1.0)
    decides.use("invoices", GATED, "new", None, 2.0)
    decides.count("invoices", requests(100, 100), 2.0)
    assert decides.look(2.0) == []
    decides.use("invoices", GATED, "canary", 25, 3.0)
    decides.use("invoices", CLIMBING, "canary", 5, 3.0)
    decides.count("invoices", requests(15, 15), 4.0)
    assert decides.look(4.0) == []
    decides.forget(set())
    assert decides.standing("invoices", 5.0) is None
    decides.count("invoices", requests(100, 100), 5.0)
    assert decides.look(5.0) == []


def new_only(number: int, failed: int = 0) -> Sides:
    """So many requests on the new side, and none on the old one."""
    return Sides(Counts(), Counts(number, failed))


def test_at_the_top_the_old_app_is_judged_by_what_it_did_before() -> None:
    """M21: so a new app that begins to fail at 100 % is taken back, and an equal one stays."""
    decides = controller(GATED, 50)
    decides.count("invoices", Sides(Counts(1000, 50), Counts(1000, 50)), 1.0)
    assert decides.look(1.0) == []
    decides.use("invoices", GATED, "canary", 100, 2.0)
    decides.count("invoices", new_only(1000, 50), 3.0)
    assert decides.look(3.0) == []
    standing = decides.standing("invoices", 3.0)
    assert standing is not None
    assert standing.gate == "holds"
    decides.count("invoices", new_only(1000, 200), 4.0)
    (change,) = decides.look(4.0)
    assert (change.mode, change.before) == ("old", 100)
    assert change.reason == (
        "in the last 60 s 12.5 % of 2000 requests failed in the new app, 5.0 % of 1000 in the old "
        "one; max_error_points is 1; the old one is judged by what it did before"
    )


def test_without_anything_before_the_old_app_counts_as_one_that_never_fails() -> None:
    """M21: at a share of 100 only; below it there will be requests to compare with."""
    for share, modes in ((100, ["old"]), (99, [])):
        decides = controller(GATED, share)
        decides.count("invoices", new_only(1000, 5), 1.0)
        assert decides.look(1.0) == []
        decides.count("invoices", new_only(1000, 50), 2.0)
        assert [change.mode for change in decides.look(2.0)] == modes
