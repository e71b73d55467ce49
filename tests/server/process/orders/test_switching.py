"""Orders about the routes of a cutover, to a supervisor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bridge.server.config.config import Config
from bridge.server.control.orders import OrderFailed, read_order
from bridge.server.process.orders import switching

FILE = '[[routes]]\nname = "a"\npaths = ["/a", "/b"]\nmode = "new"\n'


class Links:
    """The links to workers; keeps what they are told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def tell_all(self, message: Any) -> None:
        self.told.append(message)


def test_routes_are_those_of_the_file(tmp_path: Path) -> None:
    """M3: with their switches."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE)
    config = Config(cutover=str(file))
    assert switching.routes(config) == [
        {"route": "a", "mode": "new", "share": None, "paths": ["/a", "/b"]}
    ]
    links: Any = Links()
    assert switching.switch(config, links, "a", "canary", "5") == "a canary 5 %"
    assert links.told == [{"type": "routes"}]
    assert switching.routes(config)[0]["mode"] == "canary"


def test_what_fails_is_told_to_nobody(tmp_path: Path) -> None:
    """M5: a wrong order, a wrong file, and none."""
    file = tmp_path / "cutover.toml"
    file.write_text(FILE)
    config = Config(cutover=str(file))
    links: Any = Links()
    with pytest.raises(OrderFailed, match=re.escape("there is no route b; there are a; nothing")):
        switching.switch(config, links, "b", "new", None)
    file.write_text("old =")
    with pytest.raises(OrderFailed, match="it is not TOML"):
        switching.routes(config)
    for order in (switching.routes, lambda config: switching.switch(config, links, "a", "b", None)):
        with pytest.raises(OrderFailed, match="start it with --cutover FILE"):
            order(Config(app="a:b"))
    assert links.told == []


@pytest.mark.parametrize("order", [b'{"order": "switch"}', b'{"order": "switch", "route": 1}'])
def test_half_an_order(order: bytes) -> None:
    """M5: a switch has a route and a mode."""
    with pytest.raises(OrderFailed, match="a switch has a route and a mode"):
        read_order(order)
