"""The channel layer of this process, which every part of a program can ask for."""

from __future__ import annotations

from bridge.channels.base import ChannelLayer
from bridge.channels.memory import MemoryLayer

_current: ChannelLayer | None = None


def get_channel_layer() -> ChannelLayer:
    """Return the layer of this process: what `set_channel_layer` was given, or one in memory."""
    global _current
    if _current is None:
        _current = MemoryLayer()
    return _current


def set_channel_layer(layer: ChannelLayer) -> None:
    """Make `layer` the one that `get_channel_layer` returns from now on."""
    global _current
    _current = layer
