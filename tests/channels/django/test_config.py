"""What CONFIG of a channel layer says, in our words and in those of channels_redis."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.channels.django.config import DEFAULT_URL, address_from
from bridge.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "others", "address"),
    [
        (None, {}, DEFAULT_URL),
        (None, {"hosts": []}, DEFAULT_URL),
        (None, {"hosts": None}, DEFAULT_URL),
        ("redis://a:1/2", {}, "redis://a:1/2"),
        (None, {"hosts": ["rediss://a:1/2"]}, "rediss://a:1/2"),
        (None, {"hosts": [("a", 6379)]}, "redis://a:6379"),
        (None, {"hosts": [["::1", 6379]]}, "redis://[::1]:6379"),
        (None, {"hosts": ({"address": "unix:///run/redis.sock"},)}, "unix:///run/redis.sock"),
        (None, {"hosts": [{"host": "a"}]}, "redis://a:6379/0"),
        (
            None,
            {"hosts": [{"host": "::1", "port": 1, "db": 2, "password": "p/w", "ssl": True}]},
            "rediss://:p%2Fw@[::1]:1/2",
        ),
        (None, {"hosts": [{"host": "a", "username": "u@", "password": "p"}]}, None),
        (None, {"hosts": [{"host": "a", "username": "u"}]}, "redis://u@a:6379/0"),
        (
            None,
            {
                "symmetric_encryption_keys": [],
                "serializer_format": "msgpack",
                "random_prefix_length": 12,
                "on_disconnect": None,
                "on_reconnect": None,
            },
            DEFAULT_URL,
        ),
    ],
)
def test_addresses(url: str | None, others: dict[str, Any], address: str | None) -> None:
    """L14: one Redis, in each way that CONFIG of channels_redis has for it."""
    assert address_from(url, others) == (address or "redis://u%40:p@a:6379/0")


@pytest.mark.parametrize(
    ("url", "others", "text"),
    [
        (None, {"host": "a"}, "has the key 'host'; it knows url or hosts, prefix, expiry"),
        (b"redis://a", {}, "url of the channel layer is b'redis://a', and must be text"),
        ("redis://a", {"hosts": ["redis://b"]}, "has url and hosts; write one of the two"),
        (None, {"hosts": "redis://a"}, "is 'redis://a', and must be a list; or write"),
        (None, {"hosts": {"host": "a", "password": "secret"}}, "'password': '...'"),
        (None, {"hosts": ["redis://a", "redis://b"]}, "names 2 Redis, and this layer uses one"),
        (None, {"hosts": [{"sentinels": [("a", 1)], "master_name": "m"}]}, "Redis Sentinels"),
        (None, {"hosts": [{"master_name": "m"}]}, "Redis Sentinels"),
        (None, {"hosts": [{"address": "redis://a", "timeout": 1}]}, "as its query"),
        (None, {"hosts": [{"host": "a", "password": "secret", "x": 1}]}, "'password': '...'"),
        (None, {"hosts": [("a",)]}, "has ('a',); write it as an address"),
        (None, {"hosts": [7]}, "has 7; write it as an address"),
        (None, {"symmetric_encryption_keys": ["k"]}, "does not encrypt"),
        (None, {"serializer_format": "json"}, "serializer_format is 'json'"),
        (None, {"on_disconnect": print}, "on_disconnect is set, and this layer calls nothing"),
        (None, {"on_reconnect": print}, "on_reconnect is set, and this layer calls nothing"),
    ],
)
def test_what_this_layer_does_not_do(url: Any, others: dict[str, Any], text: str) -> None:
    """L14: it is refused, with what to write instead, and without passwords."""
    with pytest.raises(ConfigError) as raised:
        address_from(url, others)
    assert text in str(raised.value)
    assert "secret" not in str(raised.value)
