"""What a `WsgiToAsgi` can be told, and which of it a server may still say (S60)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bridge.arguments.checks import WSGI_SETTINGS, Check, read_all
from bridge.arguments.values import VALUE_TYPES
from bridge.errors import ConfigError
from bridge.runners import Runner

#: The settings of `WsgiToAsgi`, and of each mount and each dispatcher.
SETTINGS: dict[str, Check] = {
    **WSGI_SETTINGS,
    "max_body_size": Check(type=VALUE_TYPES["Size"], minimum=0),
    "spool_body": Check(type=VALUE_TYPES["Size"], minimum=0),
    "propagate_context": Check(type=VALUE_TYPES["bool"]),
    "pathsend": Check(type=VALUE_TYPES["bool"]),
    "multiprocess": Check(type=VALUE_TYPES["bool"]),
    "idle_timeout": Check(type=VALUE_TYPES["Seconds"], minimum=0),
}

#: Those of them that `ThreadRunner` alone heeds.
OF_THREADS = ("idle_timeout",)

#: Settings of the server that one app cannot have for itself.
_OF_THE_PROCESS = {
    "patch": "call bridge.greenlet_patch() before other imports, or start the server with --patch",
    "max_blocking_time": "start the server with --max-blocking-time",
}


def read_settings(given: Mapping[str, Any], owner: str = "WsgiToAsgi") -> dict[str, Any]:
    """Check the settings `given` to `owner`; those that are None are left out.

    Raises `ConfigError` in the words of the server's command line.
    """
    if "workers" in given:  # of a2wsgi and uvicorn
        raise ConfigError(f"workers is no setting of {owner}; did you mean threads?")
    for name, instead in _OF_THE_PROCESS.items():
        if name in given:
            raise ConfigError(f"{name} is no setting of {owner}: it is of the process; {instead}")
    runner = given.get("runner")
    if isinstance(runner, Runner):
        rest = {name: value for name, value in given.items() if name != "runner"}
        return {"runner": runner, **read_all(SETTINGS, rest, owner)}
    return read_all(SETTINGS, given, owner)
