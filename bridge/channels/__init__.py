"""Channel layers: messages between the parts of a program, in one process or in many (ASGI 1).

`get_channel_layer` returns the layer of this process. An app of any kind can publish by it: a Flask
view that calls ``get_channel_layer().send_group("news", {...})`` reaches every client whose reply
channel is in the group. `RedisLayer` is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bridge.channels.base import ChannelLayer
from bridge.channels.current import get_channel_layer, open_layer, set_channel_layer
from bridge.channels.memory import MemoryLayer

__all__ = [
    "ChannelLayer",
    "MemoryLayer",
    "RedisLayer",
    "get_channel_layer",
    "open_layer",
    "set_channel_layer",
]

if TYPE_CHECKING:
    from bridge.channels.redis.layer import RedisLayer
else:

    def __getattr__(name: str) -> object:
        if name == "RedisLayer":
            return import_module("bridge.channels.redis.layer").RedisLayer
        raise AttributeError(f"module 'bridge.channels' has no attribute {name!r}")
