"""The file that a cutover reads its routes from, again and again (M3, M5).

On our own server the file is read again when somebody says so: by SIGHUP, or by ``asgi-bridge
cutover set``. Other servers know neither; there it is read when it has changed. A file that is just
being written may be valid, and half of what it should be: so it is taken when two looks, a second
apart, have seen the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from bridge.cutover.route import OLD, Route
from bridge.cutover.settings_file import parse_plan, read_plan
from bridge.cutover.switches import Switches, said_by
from bridge.errors import ConfigError
from bridge.log import logger

#: Seconds between two looks at the file.
PERIOD: Final = 1.0


class _SwitchedSinceError(Exception):
    """A person has switched a route since a gate did."""


class RoutesFile:
    """One file, and what was seen of it last."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        #: The table of shadow in it, once `routes` has read it.
        self.shadow: Any = None
        #: What tells one version from another: of the one that was read, and of the last look.
        self._read = self._seen = self._version()
        self._next = 0.0

    def routes(self) -> tuple[Route, ...]:
        """Read the routes. Raises `ConfigError`."""
        version = self._version()
        plan = read_plan(self.path)
        self._read = self._seen = version
        self.shadow = plan.options.get("shadow")
        return plan.routes

    @property
    def has_changed(self) -> bool:
        """Whether it is another one than was read."""
        return self._version() != self._read

    def reread(self, switches: Switches) -> None:
        """Bring the routes of the file into force. Raises `ConfigError`: then nothing changes."""
        try:
            switches.replace(self.routes())
        except ConfigError as error:
            place = "" if self.path in str(error) else f"{self.path}: "
            raise ConfigError(f"{place}{error}; the routes stay as they were") from None
        logger.info("the routes of %s are in force: %s", self.path, switches.summary())

    def follow(self, switches: Switches, clock: Callable[[], float] = monotonic) -> None:
        """Look at the file, at most once a second, and bring it into force if it has changed."""
        now = clock()
        if now < self._next:
            return
        self._next = now + PERIOD
        version = self._version()
        if version == self._read or version != self._seen:
            self._seen = version
            return
        self._read = version  # also if it is wrong: that is told once
        try:
            self.reread(switches)
        except ConfigError as error:
            logger.error("%s", error)

    def keep_old(self, switches: Switches, route: Route) -> None:
        """Write into the file that a route was taken back; if that cannot be, the log says so.

        `route` is what came of that. If a person has switched it since, here or in the file, that
        stands.
        """
        from bridge.cutover.editing import switch_and_read  # few need it

        name, before = route.name, switches.row(route.name)

        def check(text: str) -> None:
            rows = {each.name: each for each in parse_plan(text).routes}
            if name in rows and said_by(rows[name]) != said_by(before):
                raise _SwitchedSinceError
            if switches.table.route(name) is not route:
                raise _SwitchedSinceError

        try:
            switches.note_row(switch_and_read(self.path, name, OLD, check=check)[0])
        except _SwitchedSinceError:
            logger.info("route %s was switched by hand since a gate took it back", name)
        except ConfigError as error:
            logger.warning(
                "route %s is on the old app, and its file does not say so: %s", name, error
            )

    def _version(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self.path)
        except OSError:
            return None
        return stat.st_ino, stat.st_size, stat.st_mtime_ns
