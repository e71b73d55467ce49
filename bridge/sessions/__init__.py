"""Sessions of an old app in a new one, and back: one log-in for both (rule M40).

`FlaskSession` is an ASGI middleware that reads and writes the session cookie of a Flask app. What
the new app sees is ``scope["session"]``, which Starlette and FastAPI call ``request.session``. The
middleware is loaded when it is first used: itsdangerous comes with it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

#: Every public name -> the module that defines it.
_MODULES = {
    "FlaskSession": "bridge.sessions.flask",
}

__all__ = ["FlaskSession"]

if TYPE_CHECKING:
    from bridge.sessions.flask import FlaskSession
else:

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return getattr(import_module(_MODULES[name]), name)
        raise AttributeError(f"module 'bridge.sessions' has no attribute {name!r}")
