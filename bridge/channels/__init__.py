"""Channel layers: messages between the parts of a program, in one process or in many (ASGI 1).

`get_channel_layer` returns the layer of this process. An app of any kind can publish by it: a Flask
view that calls ``get_channel_layer().send_group("news", {...})`` reaches every client whose reply
channel is in the group.
"""

from __future__ import annotations

from bridge.channels.base import ChannelLayer
from bridge.channels.current import get_channel_layer, set_channel_layer
from bridge.channels.memory import MemoryLayer

__all__ = ["ChannelLayer", "MemoryLayer", "get_channel_layer", "set_channel_layer"]
