"""What a server has been told, and the time that it has for it (P2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bridge.server import Config
from bridge.server.lifecycle.orders import STARTING_LIMIT, Orders
from bridge.server.lifecycle.signals import Interrupted
from bridge.server.lifecycle.stopping import CANCEL_GRACE, CUT_GRACE

INT: Callable[[Orders], None] = Orders.on_sigint
TERM: Callable[[Orders], None] = Orders.on_sigterm
ASKED: Callable[[Orders], None] = Orders.request_stop


@pytest.mark.parametrize(
    ("told", "stops", "cuts"),
    [
        ([], False, False),
        ([TERM], True, False),
        ([INT], True, False),
        ([ASKED], True, False),
        ([TERM, TERM, TERM], True, False),
        ([TERM, INT], True, True),
        ([INT, INT], True, True),
        ([INT, TERM], True, False),
        ([ASKED, ASKED], True, True),
        ([ASKED, INT], True, True),
    ],
)
@pytest.mark.parametrize("running", [False, True], ids=["no loop", "on a loop"])
def test_what_stops_and_what_cuts(
    told: list[Callable[[Orders], None]], stops: bool, cuts: bool, running: bool
) -> None:
    """P2: the first word stops; SIGINT or a request after it cuts, a second SIGTERM does not."""
    orders = Orders(Config())

    async def tell() -> None:
        if running:
            orders.attach_loop(asyncio.get_running_loop())
        for word in told:
            word(orders)
        await asyncio.sleep(0)  # what is handed to the loop has been called

    asyncio.run(tell())
    assert (orders.stop_requested, orders.stop.is_set(), orders.cut.is_set()) == (
        stops,
        stops,
        cuts,
    )


@pytest.mark.parametrize("word", [INT, TERM])
def test_an_import_is_interrupted(word: Callable[[Orders], None]) -> None:
    """P2: while the app is imported a signal ends that; the word is not lost."""
    orders = Orders(Config())
    orders.begin_loading()
    with pytest.raises(Interrupted):
        word(orders)
    assert orders.stop_requested
    assert orders.stop.is_set()


def test_nothing_is_interrupted_after_the_import() -> None:
    """P2: nor is a loop woken that has ended."""
    orders = Orders(Config())
    loop = asyncio.new_event_loop()
    loop.close()
    orders.attach_loop(loop)
    orders.begin_loading()
    orders.detach_loop()
    orders.end_loading()
    orders.on_sigint()
    assert orders.stop.is_set()


def test_without_a_loop_nothing_is_called() -> None:
    """P5: SIGHUP before the start changes nothing."""
    called: list[int] = []
    Orders(Config()).soon(lambda: called.append(1))
    assert called == []


def test_time_that_is_left() -> None:
    """P2: the grace at a stop; a moment if nothing had started; less from a cut on, and once."""
    orders = Orders(Config())
    assert 0 < orders.time_left() <= CANCEL_GRACE
    orders.stop_within(30)
    assert CANCEL_GRACE < orders.time_left() <= 30
    orders.cut.set()
    left = orders.time_left()
    assert 0 < left <= CUT_GRACE
    assert orders.time_left() <= left
    orders.stopped()
    assert CUT_GRACE < orders.time_left() <= CANCEL_GRACE


def test_no_time_is_left_twice() -> None:
    """P2: after the grace there is none, never less than none."""
    orders = Orders(Config())
    orders.stop_within(-1)
    assert orders.time_left() == 0


@pytest.mark.parametrize(
    ("settings", "serving", "limit"),
    [
        ({}, False, STARTING_LIMIT),
        ({}, True, 30 + 30 + STARTING_LIMIT),
        ({"timeout_graceful_shutdown": 1, "timeout_shutdown": 2}, True, 3 + STARTING_LIMIT),
        ({"drain_delay": 7}, True, 67 + STARTING_LIMIT),
        ({"timeout_shutdown": 0}, True, None),
    ],
)
def test_the_limit_of_the_guard(
    settings: dict[str, float], serving: bool, limit: float | None
) -> None:
    """P2: 5 s while it starts; then what the settings allow a stop; none if that is any time."""
    orders = Orders(Config(**settings))  # type: ignore[arg-type]
    if serving:
        orders.started()
    assert orders.limit() == limit
