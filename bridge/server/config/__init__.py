"""The settings of the server, and the sources of their values."""

from __future__ import annotations

from bridge.server.config.config import SETTINGS, Config

__all__ = ["SETTINGS", "Config"]
