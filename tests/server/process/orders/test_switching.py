"""Orders about the routes of a cutover, to a supervisor."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.server.control.orders import OrderFailed, read_order
from bridge.server.process.orders import switching


class Ramp:
    """One that can do nothing."""

    def status(self) -> None:
        raise ConfigError("no cutover")

    def switch(self, *order: object) -> None:
        raise ConfigError("no such route")


def test_what_cannot_be_done_is_one_line() -> None:
    """M5: it says whether anything was changed."""
    ramp: Any = Ramp()
    with pytest.raises(OrderFailed, match=r"^no cutover$"):
        switching.routes(ramp, switching.Conflicts())
    with pytest.raises(OrderFailed, match=r"^no such route; nothing was changed$"):
        switching.switch(ramp, "b", "new", None, "")


@pytest.mark.parametrize("order", [b'{"order": "switch"}', b'{"order": "switch", "route": 1}'])
def test_half_an_order(order: bytes) -> None:
    """M5: a switch has a route and a mode."""
    with pytest.raises(OrderFailed, match="a switch has a route and a mode"):
        read_order(order)
