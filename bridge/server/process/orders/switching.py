"""Orders about the routes of a cutover (M3). What is wrong is one line."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bridge.errors import ConfigError
from bridge.server.control.orders import OrderFailed
from bridge.server.process.ramp.ramp import Ramp


def routes(ramp: Ramp) -> dict[str, Any]:
    """Describe the routes in force, and how they go. Raises `OrderFailed`."""
    try:
        return ramp.status()
    except ConfigError as error:
        raise OrderFailed(str(error)) from None


def switch(ramp: Ramp, route: str, mode: str, share: object) -> Future[str]:
    """Switch a route in each worker, and in its file. Raises `OrderFailed`."""
    try:
        return ramp.switch(route, mode, share)
    except ConfigError as error:
        raise OrderFailed(f"{error}; nothing was changed") from None


def conflict_log() -> Callable[[Sequence[tuple[int, str]]], object]:
    """Return what logs the conflicts of routes that workers find, once for all of them (M4)."""
    told = import_module("bridge.cutover.conflicts.telling").Told
    return told()  # type: ignore[no-any-return]
