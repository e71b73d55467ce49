"""An app of whatever kind as ASGI 3, or as WSGI; `bridge.arguments.kinds` tells its kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

from bridge.adapters.wsgi_on_asgi.settings import read_settings
from bridge.arguments.kinds import Kind, check_kind, detect
from bridge.asgi.versions import from_asgi2
from bridge.types import ASGIApp, WSGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi


def as_asgi(app: Any, kind: str | None = None, **settings: Any) -> ASGIApp:
    """Make an ASGI 3 app of `app`, whatever its kind.

    An explicit `kind` (``asgi3``, ``asgi2``, ``asgi1``, ``wsgi``) wins over detection. A WSGI app
    is wrapped in `WsgiToAsgi` with `settings`, an ASGI 1 consumer by `from_asgi1` with those of
    them that it has; an app that `AsgiToWsgi` wraps is taken out again.
    Raises `ConfigError` if the kind cannot be told or does not exist, and for a wrong setting.
    """
    # Looked up, not imported: `AsgiToWsgi` is for WSGI hosts, and an ASGI server need not load it.
    loaded = sys.modules.get("bridge.asgi_to_wsgi")
    if kind is None and loaded is not None and isinstance(app, loaded.AsgiToWsgi):
        return cast("ASGIApp", app.app)
    wrap = _AS_ASGI[check_kind(kind) or detect(app)]
    return wrap(app, read_settings(settings, "as_asgi"))


def _from_asgi1(app: Any, settings: dict[str, Any]) -> ASGIApp:
    from bridge.asgi1.app import SETTINGS, from_asgi1  # few servers need it

    own = {name: value for name, value in settings.items() if name in SETTINGS}
    return from_asgi1(app, **own)


_AS_ASGI: dict[Kind, Callable[[Any, dict[str, Any]], ASGIApp]] = {
    "asgi3": lambda app, settings: cast("ASGIApp", app),
    "asgi2": lambda app, settings: from_asgi2(app),
    "asgi1": _from_asgi1,
    "wsgi": lambda app, settings: WsgiToAsgi(app, kind="wsgi", **settings),
}


def as_wsgi(app: Any, kind: str | None = None, **settings: Any) -> WSGIApp:
    """Make a WSGI app of `app`, whatever its kind.

    Like `as_asgi`, the other way round: an ASGI app is wrapped in `AsgiToWsgi` with `settings`, and
    an app that `WsgiToAsgi` wraps is taken out again.
    """
    if kind is None and isinstance(app, WsgiToAsgi):
        return app.app
    known = check_kind(kind) or detect(app)
    if known == "wsgi":
        return cast("WSGIApp", app)
    from bridge.asgi_to_wsgi import AsgiToWsgi  # see `as_asgi`

    return AsgiToWsgi(as_asgi(app, known), kind="asgi3", **settings)
