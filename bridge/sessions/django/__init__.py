"""The session and the user of a Django project, for an ASGI app (M40).

`DjangoSession` is the middleware; `login` and `logout` are Django's, for requests of the new app.
"""

from __future__ import annotations

from bridge.errors import ConfigError

try:
    from bridge.sessions.django.middleware import DjangoSession, login, logout
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("django", "asgiref"):
        raise
    raise ConfigError("DjangoSession needs Django: pip install 'asgi-bridge[django]'") from None

__all__ = ["DjangoSession", "login", "logout"]
