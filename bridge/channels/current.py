"""The channel layer of this process, which every part of a program can ask for."""

from __future__ import annotations

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from bridge.channels.base import ChannelLayer
from bridge.channels.memory import MemoryLayer
from bridge.errors import ConfigError, shown
from bridge.loops.by_process import ByProcess

#: The schemes of a Redis' address.
_REDIS = ("redis", "rediss", "unix")

_default: ByProcess[ChannelLayer] = ByProcess(MemoryLayer)
_current: ChannelLayer | None = None


def get_channel_layer() -> ChannelLayer:
    """Return the layer of this process: what `set_channel_layer` was given, or one in memory."""
    return _default.get() if _current is None else _current


def set_channel_layer(layer: ChannelLayer | None) -> None:
    """Make `layer` the one that `get_channel_layer` returns; None: the one in memory.

    Raises `ConfigError` for what is no layer.
    """
    global _current
    if layer is not None and not isinstance(layer, ChannelLayer):
        raise ConfigError(
            f"the channel layer is {shown(layer)}, and must be a bridge.channels.ChannelLayer, "
            "such as open_layer('redis://127.0.0.1:6379') returns"
        )
    _current = layer


def open_layer(url: object, **settings: Any) -> ChannelLayer:
    """Return a layer of the kind that `url` names, with these settings.

    ``memory:`` stays in this process, ``redis://HOST:PORT/DATABASE`` is shared with all that use
    the same Redis (also ``rediss://``, and ``unix://PATH``). Raises `ConfigError` for another
    address, or if what the layer needs is not installed.
    """
    scheme = urlsplit(url).scheme if isinstance(url, str) else None
    if scheme == "memory":
        return MemoryLayer(**settings)
    if scheme not in _REDIS:
        raise ConfigError(
            f"the address of a channel layer has the scheme {scheme!r}, and must be memory: or "
            f"begin with {' or '.join(f'{each}://' for each in _REDIS)}"
        )
    module = import_module("bridge.channels.redis.layer")
    layer: ChannelLayer = module.RedisLayer(url, **settings)
    return layer
