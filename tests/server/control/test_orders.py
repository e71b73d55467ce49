"""What a line on the control socket means, and which orders are impossible."""

from __future__ import annotations

import asyncio
import json

import pytest

from bridge.server.control.orders import MOST_WORKERS, ORDERS, OrderFailed, carry_out, read_order
from tests.support.orders import Supervised


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"\x00\xff garbage", "that is no JSON"),
        (b"", "that is no JSON"),
        (b"[" * 3000, "that is no JSON"),
        (b"GET / HTTP/1.1\r", "that is no JSON"),
        (b"[1]", "that is no order"),
        (b'{"order": 7}', "that is no order"),
        (b'{"order": "restart"}', "there is no order 'restart'; the orders are status, workers"),
    ],
)
def test_what_is_no_order_is_refused_in_one_line(line: bytes, said: str) -> None:
    """O8: the error says what was seen, and what an order looks like."""
    with pytest.raises(OrderFailed) as failure:
        read_order(line)
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "cannot scale to 0: one worker at least has to serve"),
        (-1, "cannot scale to -1"),
        (10000, f"cannot scale to 10000: {MOST_WORKERS} workers are the most, since each"),
        ("4", "scale needs a whole number of workers, and not '4'"),
        (True, "scale needs a whole number"),
        (None, "scale needs a whole number"),
    ],
)
def test_a_number_of_workers_that_cannot_be_is_refused(number: object, said: str) -> None:
    """O8: `scale 0` and `scale 10000` change nothing, and say why."""
    with pytest.raises(OrderFailed) as failure:
        read_order(json.dumps({"order": "scale", "number": number}).encode())
    assert said in str(failure.value)


def test_every_order_reaches_the_supervision() -> None:
    """O3: each order is a method; status tells of the workers, too, and all is JSON."""

    async def all_orders() -> None:
        supervised = Supervised()
        failing = {"metrics": OrderFailed, "reopen-logs": ZeroDivisionError}
        for name in ORDERS:
            order = read_order(
                json.dumps({"order": name, "number": 3, "route": "a", "mode": "new"}).encode()
            )
            if name in failing:
                with pytest.raises(failing[name]):
                    carry_out(order, supervised)
                continue
            result = carry_out(order, supervised)
            if isinstance(result, asyncio.Future):
                result = await result
            json.dumps(result)
            if name == "status":
                assert [each["slot"] for each in result["workers"]] == [0, 1]
            elif name == "workers":
                assert len(result) == 2
        assert supervised.orders == ["reload", "scale 3", "switch a new None"]
        assert supervised.stopped.is_set()

    asyncio.run(all_orders())
