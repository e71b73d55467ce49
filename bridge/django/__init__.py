"""A whole Django project as one app: synchronous views in threads, async views on the loop (M30).

``application()`` is for a project's asgi.py. In ``INSTALLED_APPS``, this package adds ``manage.py
runbridge`` (M31).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.django.app import DjangoApp, application
else:

    def __getattr__(name: str) -> object:
        # Loaded when it is used: Django imports this package while it reads INSTALLED_APPS.
        if name not in __all__:
            raise AttributeError(f"module 'bridge.django' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module("bridge.django.app"), name)
        return value


__all__ = ["DjangoApp", "application"]
