"""Orders about the routes of a cutover: the file is the truth, and the workers read it (M3).

The supervisor never loads the apps; of the file it needs the routes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.control.orders import OrderFailed
from bridge.server.process.links import Links


def routes(config: Config) -> list[dict[str, Any]]:
    """Describe the routes of the file. Raises `OrderFailed`."""
    file = _file(config)
    settings_file = import_module("bridge.cutover.settings_file")  # few servers need it
    try:
        plan = settings_file.read_plan(file)
    except ConfigError as error:
        raise OrderFailed(str(error)) from None
    return [
        {"route": each.name, "mode": each.mode, "share": each.share, "paths": [*each.paths]}
        for each in plan.routes
    ]


def switch(config: Config, links: Links, route: str, mode: str, share: object) -> str:
    """Switch a route in the file, and have each worker read that. Raises `OrderFailed`."""
    file = _file(config)
    editing = import_module("bridge.cutover.editing")
    switches = import_module("bridge.cutover.switches")
    try:
        changed = editing.switch_in_file(file, route, mode, share)
    except ConfigError as error:
        raise OrderFailed(f"{error}; nothing was changed") from None
    links.tell_all({"type": "routes"})
    return str(switches.shown(changed))


def conflict_log() -> Callable[[Sequence[tuple[int, str]]], object]:
    """Return what logs the conflicts of routes that workers find, once for all of them (M4)."""
    told = import_module("bridge.cutover.conflicts.telling").Told
    return told()  # type: ignore[no-any-return]


def _file(config: Config) -> str:
    if config.cutover is None:
        raise OrderFailed(
            "this server has no file of a cutover, in which a switch could be kept; start it with "
            "--cutover FILE"
        )
    return config.cutover
