"""The layer of the process, and layers by their address."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from bridge.channels import MemoryLayer, get_channel_layer, open_layer, set_channel_layer
from bridge.errors import ConfigError


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    set_channel_layer(None)


def test_one_for_all() -> None:
    """L6: every part of a program gets the same layer, in memory if nothing was set."""
    layer = get_channel_layer()
    assert isinstance(layer, MemoryLayer)
    assert get_channel_layer() is layer
    mine = MemoryLayer(capacity=3)
    set_channel_layer(mine)
    assert get_channel_layer() is mine
    set_channel_layer(None)
    assert get_channel_layer() is layer


@pytest.mark.parametrize("layer", ["redis://127.0.0.1", object(), MemoryLayer])
def test_what_is_no_layer(layer: object) -> None:
    """L6: an address, or a class, is not a layer; the error says how to make one."""
    with pytest.raises(ConfigError, match=r"must be a bridge.channels.ChannelLayer, such as open_"):
        set_channel_layer(layer)  # type: ignore[arg-type]


def test_by_address() -> None:
    """L6: the scheme of an address says which layer it is; settings are passed on."""
    layer = open_layer("memory:", capacity=3)
    assert isinstance(layer, MemoryLayer)
    assert layer.capacity == 3
    redis = open_layer("redis://127.0.0.1:1/0", expiry=7)  # connects when it is first used
    assert type(redis).__name__ == "RedisLayer"
    assert redis.expiry == 7
    redis.close()


@pytest.mark.parametrize("url", ["amqp://user:secret@host", "", "127.0.0.1:6379", None])
def test_an_address_of_no_layer(url: str) -> None:
    """L13: the error says what is allowed, and shows no password."""
    with pytest.raises(ConfigError, match=r"must be memory: or begin with redis:// or") as raised:
        open_layer(url)
    assert "secret" not in str(raised.value)


def test_redis_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """L13: the error says what to install."""
    for name in [each for each in sys.modules if each.startswith("bridge.channels.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "msgpack", None)
    with pytest.raises(ConfigError, match=r"pip install 'asgi-bridge\[redis\]'"):
        open_layer("redis://127.0.0.1")
