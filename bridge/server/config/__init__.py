"""The settings of the server: what there is to set, and where the values come from."""

from __future__ import annotations

from bridge.server.config.config import SETTINGS, Config

__all__ = ["SETTINGS", "Config"]
