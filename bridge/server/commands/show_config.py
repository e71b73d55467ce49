"""`asgi-bridge config`: every setting, its value, and where that came from (O6).

The text is a TOML file: saved, it can be given to ``--config``. A setting that has its default, or
none, is a comment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

from bridge.arguments.values import VALUE_TYPES
from bridge.server.config.config import SETTINGS, Config
from bridge.server.config.setting import Setting

#: Stands for a value that is not shown, and for one that is not there.
_HIDDEN, _NONE = "***", "(none)"
#: Columns of a value, at most: what is longer moves its source to the right.
_WIDEST = 40


def as_toml(config: Config) -> str:
    """Return the settings as a TOML file, in the sections of the reference page, aligned."""
    name_width = max(len(each.name) for each in SETTINGS)
    rows = [(each, _toml_of(each, getattr(config, each.name))) for each in SETTINGS]
    value_width = max(len(text) for _, text in rows if len(text) <= _WIDEST)
    parts = []
    for title, section in groupby(rows, key=lambda row: row[0].section):
        parts.append(f"# {title}")
        for setting, text in section:
            source = config.source(setting.name)
            off = "# " if source is None or text in (_HIDDEN, _NONE) else ""
            name = f"{off}{setting.name}"
            parts.append(f"{name:{name_width + 2}} = {text:{value_width}}  # {source or 'default'}")
        parts.append("")
    return "\n".join(parts)


def as_json(config: Config) -> str:
    """Return the settings as JSON: the name of each -> its value and its source."""
    found = {
        each.name: {
            "value": _json_value(each, getattr(config, each.name)),
            "source": config.source(each.name) or "default",
        }
        for each in SETTINGS
    }
    return json.dumps(found, indent=2) + "\n"


def _json_value(setting: Setting, value: Any) -> Any:
    if setting.secret and value is not None:
        return _HIDDEN
    if setting.type is VALUE_TYPES["Mode"]:
        return f"{value:o}"
    return value


def _toml_of(setting: Setting, value: Any) -> str:
    if value is None:
        return _NONE
    if setting.secret:
        return _HIDDEN
    if setting.type is VALUE_TYPES["Mode"]:
        return f"0o{value:o}"
    return _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(_pairs(value))} }}"
    return str(value)


def _pairs(table: dict[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        yield f"{_toml(key)} = {_toml(value)}"


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else f"\\U{ord(character):08x}"
