"""What a `WsgiToAsgi` can be told, and which of it a server may still say (S60)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.arguments.checks import KINDS, RUNNING, Check, read_all
from bridge.arguments.kinds import a_type, check_kind, other_kind
from bridge.errors import ConfigError
from bridge.runners import Runner

#: The settings of `WsgiToAsgi`, and of each mount and each dispatcher.
SETTINGS: dict[str, Check] = {
    **RUNNING,
    "max_body_size": Check(kind=KINDS["Size"], least=0),
    "spool_body": Check(kind=KINDS["Size"], least=0),
    "propagate_context": Check(kind=KINDS["bool"]),
    "pathsend": Check(kind=KINDS["bool"]),
    "multiprocess": Check(kind=KINDS["bool"]),
    "idle_timeout": Check(kind=KINDS["Seconds"], least=0),
}

#: Those of them that `ThreadRunner` alone heeds.
OF_THREADS = ("idle_timeout",)


#: What serves an app that is no WSGI app.
_RIGHT_ONE = {
    "asgi3": "an ASGI app, which every ASGI server takes as it is; WsgiToAsgi is for WSGI apps, "
    "and AsgiToWsgi makes WSGI of ASGI",
    "asgi2": "an ASGI 2 app; say from_asgi2(app), or as_asgi(app)",
    "asgi1": "an ASGI 1 consumer; say from_asgi1(app), or as_asgi(app)",
}


def check_app(app: object, kind: str | None) -> None:
    """Raise `ConfigError` if `app` plainly is no WSGI app, unless `kind` says that it is one."""
    if not callable(app):
        raise ConfigError(f"a WSGI app is a callable, and {app!r} is {a_type(app)}")
    said = check_kind(kind)
    seen = other_kind(app, "wsgi") if said is None else said
    if seen in _RIGHT_ONE:
        raise ConfigError(
            f'{app!r} is {_RIGHT_ONE[seen]}. If it is a WSGI app all the same, add kind="wsgi"'
        )


def read_settings(given: Mapping[str, Any], owner: str = "WsgiToAsgi") -> dict[str, Any]:
    """The settings `given` to `owner`, checked; those that are None are left out.

    Raises `ConfigError` in the words of the server's command line.
    """
    if "workers" in given:  # of a2wsgi and uvicorn
        raise ConfigError(f"workers is no setting of {owner}; did you mean threads?")
    runner = given.get("runner")
    if isinstance(runner, Runner):
        rest = {name: value for name, value in given.items() if name != "runner"}
        return {"runner": runner, **read_all(SETTINGS, rest, owner)}
    return read_all(SETTINGS, given, owner)
