"""The project as one app."""

from __future__ import annotations

import os

import bridge.django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.support.apps.both_ways.settings")

application = bridge.django.application(
    websocket="tests.support.apps.both_ways.sockets.application",
    idle_timeout=float(os.environ.get("IDLE_TIMEOUT", "10")),
)
