"""Orders about the routes of a cutover (M3). What is wrong is one line."""

from __future__ import annotations

from asyncio import Future
from importlib import import_module
from logging import WARNING
from typing import Any

from bridge.errors import ConfigError
from bridge.server.control.orders import OrderFailed
from bridge.server.process.channel import Message
from bridge.server.process.ramp.ramp import Ramp


class Conflicts:
    """What workers find wrong with the routes of cutovers (M4); each line is logged once."""

    def __init__(self) -> None:
        self._told: Any = None
        #: The number of the routes that were looked at last.
        self._serial = 0

    def hear(self, message: Message) -> None:
        """Take what a worker has said."""
        match message:
            case {"type": "conflicts", "lines": list(lines)}:
                if self._told is None:
                    module = import_module("bridge.cutover.conflicts.telling")  # few need it
                    self._told = module.Told()
                self._told([(int(level), str(text)) for level, text in lines])
                self._serial = max(self._serial, int(message.get("serial", 0)))
            case {"type": "routes-set", "serial": int(serial), "looks": False}:
                self._serial = max(self._serial, serial)

    def about(self, serial: int) -> dict[str, Any]:
        """Return the lines that stand, and whether those of the routes `serial` are looked for."""
        found = () if self._told is None else self._told.lines
        lines = [{"text": text, "is_hint": level < WARNING} for level, text in found]
        return {"conflicts": lines, "looks": self._serial < serial}


def routes(ramp: Ramp, conflicts: Conflicts) -> dict[str, Any]:
    """Describe the routes in force, and how they go. Raises `OrderFailed`."""
    try:
        status = ramp.status()
    except ConfigError as error:
        raise OrderFailed(str(error)) from None
    return {**status, **conflicts.about(status["serial"])}


def switch(ramp: Ramp, route: str, mode: str, share: object, by: str) -> Future[str]:
    """Switch a route in each worker, and in its file. Raises `OrderFailed`."""
    try:
        return ramp.switch(route, mode, share, by)
    except ConfigError as error:
        raise OrderFailed(f"{error}; nothing was changed") from None
