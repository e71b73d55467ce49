"""What an `AsgiToWsgi` can be told (A41)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from bridge.arguments.checks import Check, read_all
from bridge.arguments.values import VALUE_TYPES
from bridge.asgi.lifespan import Mode


@dataclass(frozen=True)
class Settings:
    """The settings of an adapter; see `AsgiToWsgi`. Times in seconds."""

    lifespan: Mode
    startup_timeout: float | None
    shutdown_timeout: float | None
    response_timeout: float
    stream_timeout: float
    disconnect_grace: float
    pathsend: bool


_SECONDS = Check(type=VALUE_TYPES["Seconds"], minimum=0, zero_means="any")
_CHECKS = {
    "lifespan": Check(type=VALUE_TYPES["str"], choices=get_args(Mode)),
    "startup_timeout": _SECONDS,
    "shutdown_timeout": _SECONDS,
    "response_timeout": _SECONDS,
    "stream_timeout": _SECONDS,
    "disconnect_grace": Check(type=VALUE_TYPES["Seconds"], minimum=0),
    "pathsend": Check(type=VALUE_TYPES["bool"]),
}


def make_settings(**given: Any) -> Settings:
    """Check the settings; times that are None or 0 are no limits. Raises `ConfigError`."""
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
