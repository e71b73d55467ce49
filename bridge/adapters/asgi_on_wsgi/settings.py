"""What an `AsgiToWsgi` can be told, and which apps it takes (A41)."""

from __future__ import annotations

from typing import Any, get_args

from bridge.adapters.asgi_on_wsgi.instance import Settings
from bridge.arguments.checks import KINDS, Check, read_all
from bridge.arguments.kinds import a_type, check_kind, other_kind
from bridge.asgi.lifespan import Mode
from bridge.errors import ConfigError

_SECONDS = Check(kind=KINDS["Seconds"], least=0, zero="any")
_CHECKS = {
    "lifespan": Check(kind=KINDS["str"], choices=get_args(Mode)),
    "startup_timeout": _SECONDS,
    "shutdown_timeout": _SECONDS,
    "response_timeout": _SECONDS,
    "stream_timeout": _SECONDS,
    "disconnect_grace": Check(kind=KINDS["Seconds"], least=0),
    "pathsend": Check(kind=KINDS["bool"]),
}

#: What serves an app that is no ASGI 3 app.
_RIGHT_ONE = {
    "wsgi": "a WSGI app, which every WSGI host takes as it is; AsgiToWsgi is for ASGI apps, and "
    "WsgiToAsgi makes ASGI of WSGI",
    "asgi2": "an ASGI 2 app; say AsgiToWsgi(from_asgi2(app)), or as_wsgi(app)",
    "asgi1": "an ASGI 1 consumer; say AsgiToWsgi(from_asgi1(app)), or as_wsgi(app)",
}


def check_app(app: object, kind: str | None) -> None:
    """Raise `ConfigError` if `app` plainly is no ASGI 3 app, unless `kind` says that it is one."""
    if not callable(app):
        raise ConfigError(f"an ASGI app is a callable, and {app!r} is {a_type(app)}")
    said = check_kind(kind)
    seen = other_kind(app, "asgi3") if said is None else said
    if seen in _RIGHT_ONE:
        raise ConfigError(
            f'{app!r} is {_RIGHT_ONE[seen]}. If it is an ASGI app all the same, add kind="asgi3"'
        )


def make_settings(**given: Any) -> Settings:
    """The settings, checked; times that are None or 0 are no limits."""
    read = read_all(_CHECKS, given, "AsgiToWsgi")
    return Settings(
        lifespan=read.get("lifespan", "auto"),
        startup_timeout=read.get("startup_timeout") or None,
        shutdown_timeout=read.get("shutdown_timeout") or None,
        response_timeout=read.get("response_timeout") or float("inf"),
        stream_timeout=read.get("stream_timeout") or float("inf"),
        disconnect_grace=read.get("disconnect_grace", 5.0),
        pathsend=read.get("pathsend", False),
    )
