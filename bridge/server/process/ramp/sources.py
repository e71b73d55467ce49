"""Where the routes of a server come from: files, whose text is kept, and the code of the app.

A generation of workers has one text of each file from its first worker to its last, whatever is
being typed into the file meanwhile. Only a reload and an order to switch read it again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.config.config import Config


@dataclass
class Sources:
    """The files of one generation of workers, and what its code says."""

    #: Path -> text.
    texts: dict[str, str] = field(default_factory=dict)
    #: Rows (`rows.py`) of routes that a worker has told of: there is no file that can be read.
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: The file that a setting names.
    setting: str | None = None
    #: Whether a worker has told of its routes, and whether its app has a cutover.
    is_told: bool = False
    has_cutover: bool = False

    @classmethod
    def read(cls, config: Config, before: Sources) -> Sources:
        """Read the file that `config` names, and those that were known. Raises `ConfigError`."""
        found = cls()
        if config.cutover is not None:
            found.setting = os.path.abspath(config.cutover)
        # Others are named in the code: one that is gone may be named no more.
        others = [path for path in before.texts if os.path.exists(path)]
        for path in others if found.setting is None else [found.setting]:
            settings_file = _settings_file()
            text = settings_file.read_text(path)
            settings_file.plan_of(path, text)
            found.texts[path] = text
        return found

    def learn(self, cutovers: Iterable[dict[str, Any]]) -> bool:
        """Take what the first worker tells of the cutovers in its app; whether that is news."""
        if self.is_told:
            return False
        self.is_told = True
        cutovers = [*cutovers]
        self.has_cutover = bool(cutovers)
        named = {each.get("path") for each in cutovers} | {self.setting}
        self.texts = {path: text for path, text in self.texts.items() if path in named}
        known = {each.name for each in self.routes()} if self.texts else set()
        for each in cutovers:
            path = each.get("path")
            if path in self.texts:
                continue
            if path is not None and self._read(path):
                for twice in sorted(known & {row["name"] for row in each["routes"]}):
                    logger.error(
                        "two cutovers have a route %s, the second one in %s: orders and gates are "
                        "for the first one; give each a name of its own",
                        twice,
                        path,
                    )
                known.update(row["name"] for row in each["routes"])
                continue
            for row in each["routes"]:
                if row["name"] not in known:
                    known.add(row["name"])
                    self.rows.append(row)
        return True

    def _read(self, path: str) -> bool:
        """Keep the text of a file that a worker has read; whether it is one."""
        settings_file = _settings_file()
        try:
            text = settings_file.read_text(path)
            settings_file.plan_of(path, text)
        except ConfigError:
            return False
        self.texts[path] = text
        return True

    def routes(self) -> list[Any]:
        """Return all routes, as they are written. Raises `ConfigError`.

        Of several with one name in several cutovers, the first one has it.
        """
        found: dict[str, Any] = {}
        for path, text in self.texts.items():
            for route in _settings_file().plan_of(path, text).routes:
                found.setdefault(route.name, route)
        if self.rows:
            for route in import_module("bridge.server.process.ramp.rows").routes_of(self.rows):
                found.setdefault(route.name, route)
        return [*found.values()]

    def path_of(self, name: str) -> str | None:
        """Return the file that has a route; None: it is in the code, or in none."""
        for path, text in self.texts.items():
            if any(each.name == name for each in _settings_file().plan_of(path, text).routes):
                return path
        return None

    def switch(self, path: str, name: str, mode: str, share: Any) -> Any:
        """Switch a route in the text of a file, and return its row. Raises `ConfigError`."""
        if path not in self.texts:
            raise ConfigError(f"{path} is no file of routes of this server")
        editing = import_module("bridge.cutover.editing")
        row, self.texts[path] = editing.switch_in_text(self.texts[path], name, mode, share)
        return row

    def switch_too(self, path: str, name: str, mode: str, share: Any) -> None:
        """Do as `switch`, for a generation that is starting: what is decided meanwhile is there."""
        with contextlib.suppress(ConfigError):  # it has no such file, or no such route
            self.switch(path, name, mode, share)

    def give(self) -> None:
        """Have the processes that are forked from now on read these texts, and no files."""
        texts = _settings_file().given_texts
        texts.clear()
        texts.update(self.texts)


def warn_of_more(path: str, before: str, after: str) -> None:
    """Log what else than routes has changed in a file that is in force."""
    plans = (_settings_file().plan_of(path, text) for text in (before, after))
    one, other = ({**each.apps, **each.options} for each in plans)
    changed = {name for name in one | other if one.get(name) != other.get(name)}
    if changed:
        logger.warning(
            "%s: more than routes has changed (%s); that is in force after a reload",
            path,
            ", ".join(sorted(changed)),
        )


def _settings_file() -> Any:
    return import_module("bridge.cutover.settings_file")  # few servers need it
