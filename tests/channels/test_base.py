"""What all channel layers share."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge import ConfigError
from bridge.channels import MemoryLayer
from bridge.channels.base import Capacities


def test_capacities() -> None:
    """L6: the first pattern that matches a channel gives its capacity."""
    capacities = Capacities(100, {"http.*": 7, "http.request": 9})
    assert capacities.of("http.request") == 7
    assert capacities.of("other") == 100
    assert capacities.of("bridge.x!", clients_factor=3) == 300


@pytest.mark.parametrize(
    "settings",
    [{"expiry": 0}, {"capacity": "1"}, {"group_expiry": True}, {"channel_capacity": {"a": -1}}],
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    """L13: a setting that cannot be is a ConfigError that says which."""
    with pytest.raises(ConfigError, match="must be a number above 0"):
        MemoryLayer(**settings)


def test_older_names() -> None:
    """L6: the names of earlier versions of ASGI 1, and the asyncio extension."""
    layer = MemoryLayer()
    layer.send("a", {"x": 1})
    with pytest.warns(DeprecationWarning, match="use receive"):
        assert layer.receive_many(["a"]) == ("a", {"x": 1})

    async def main() -> None:
        assert layer.loop is asyncio.get_running_loop()
        layer.send("a", {"x": 2})
        assert await layer.receive_asyncio(["a"]) == ("a", {"x": 2})

    asyncio.run(main())
    with pytest.raises(RuntimeError):
        _ = layer.loop
    layer.close()
    with pytest.raises(TypeError, match="list of names"):
        layer.receive("a")


def test_reply_channels() -> None:
    """L6: no reply channel is made twice, and two layers share none."""
    one, other = MemoryLayer(), MemoryLayer()
    made = [one.new_reply_channel() for _ in range(3)] + [other.new_reply_channel()]
    assert len(set(made)) == 4
