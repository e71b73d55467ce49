"""Sessions of an old app in a new one, and back: one log-in for both (rule M40).

`FlaskSession` and `DjangoSession` are ASGI middlewares that read and write the session of an old
app. What the new app sees is ``scope["session"]``, which Starlette and FastAPI call
``request.session``; `DjangoSession` adds ``scope["user"]``. Each is loaded when it is first used:
itsdangerous comes with the one, Django with the other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

#: Every public name -> the module that defines it.
_MODULES = {
    "DjangoSession": "bridge.sessions.django",
    "FlaskSession": "bridge.sessions.flask",
}

__all__ = ["DjangoSession", "FlaskSession"]

if TYPE_CHECKING:
    from bridge.sessions.django import DjangoSession
    from bridge.sessions.flask import FlaskSession
else:

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return getattr(import_module(_MODULES[name]), name)
        raise AttributeError(f"module 'bridge.sessions' has no attribute {name!r}")
