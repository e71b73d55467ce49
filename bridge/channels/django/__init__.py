"""The channel layer for Django Channels 4: ``bridge.channels.django.RedisChannelLayer``."""

from __future__ import annotations

from bridge.channels.django.layer import ChannelFull, MessageTooLarge, RedisChannelLayer

__all__ = ["ChannelFull", "MessageTooLarge", "RedisChannelLayer"]
