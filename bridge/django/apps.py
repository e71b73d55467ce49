"""The Django app that is named in ``INSTALLED_APPS``; it has a command, and no models."""

from __future__ import annotations

from django.apps import AppConfig


class BridgeConfig(AppConfig):  # type: ignore[misc]
    """What Django is told of it; its label cannot be ``django``, which says too little."""

    name = "bridge.django"
    label = "asgi_bridge"
    verbose_name = "asgi-bridge"
