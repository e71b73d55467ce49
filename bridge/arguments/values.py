"""The types of settings: how values are read, also from text, and named in errors (S61)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bridge.http.paths import mount_point

#: Bytes; text may say ``64K``, ``16M`` or ``1G`` (powers of 1024).
Size: TypeAlias = int
#: Text may say ``30s``, ``250ms``, ``5m``, ``1h30m`` or ``7d``.
Seconds: TypeAlias = float
#: Whether clients need a certificate; also as the number that Python's `ssl` has for it.
CertReqs: TypeAlias = str
#: Permission bits; text is octal.
Mode: TypeAlias = int
#: The mount point of an app: ``/api``, or empty; slashes at both ends do not matter.
Place: TypeAlias = str
Path: TypeAlias = str
Texts: TypeAlias = tuple[str, ...]
#: Items are ``PATH=APP``; a mapping is accepted too.
Mounts: TypeAlias = tuple[str, ...]
#: A function of the program, or its name.
Hook: TypeAlias = str | Callable[..., object]
#: A file, or a ``logging.config`` dictionary.
LogConfig: TypeAlias = str | dict[str, Any]


# ------------------------------------------------------------- from text to values

_TRUTH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}
_CERT_REQS = {"0": "none", "1": "optional", "2": "required"}
_TIMES = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: The most seconds: the system cannot wait for much longer.
LONGEST = 10**9
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return _TRUTH[_text(value).lower()]


def whole_number(value: object) -> int:
    """Read an int, also from text. Raises `TypeError`, `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _size(value: object) -> int:
    if isinstance(value, str) and value[-1:].upper() in _UNITS:
        return int(value[:-1]) * _UNITS[value[-1].upper()]
    return whole_number(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    if isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        value = sum(float(count) * _TIMES[unit] for count, unit in _PART.findall(value))
    seconds = float(value)
    if not seconds < float("inf"):
        raise ValueError
    if seconds > LONGEST:
        raise TooLong(f"the most is {LONGEST} s, which is 31 years")
    return seconds


def _mode(value: object) -> int:
    return int(value, 8) if isinstance(value, str) else whole_number(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _path(value: object) -> str:
    """Take a path as text, or as what `pathlib` makes of it. Raises `TypeError`."""
    fspath = getattr(value, "__fspath__", None)
    return _text(value if fspath is None else fspath())


def _cert_reqs(value: object) -> str:
    if isinstance(value, bool):
        raise TypeError
    text = str(value) if isinstance(value, int) else _text(value)
    return _CERT_REQS.get(text, text)


def _place(value: object) -> str:
    if any(character in "?#" or not character.isprintable() for character in _text(value)):
        raise ValueError
    if "://" in _text(value):
        raise ValueError
    return mount_point(_text(value))


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(_text(part) for part in value)


def _mounts(value: object) -> tuple[str, ...]:
    if isinstance(value, Mapping):
        value = [f"{path}={_text(app)}" for path, app in value.items()]
    elif isinstance(value, str):
        value = _split(value)
    mounts = _texts(value)
    for mount in mounts:
        path, _, app = mount.partition("=")
        if "/" not in path or not app:
            raise WrongPart(mount)
    return mounts


def _split(text: str) -> list[str]:
    """Split at commas outside parentheses and quotes: a target may be a call."""
    parts, depth, quote = [""], 0, ""
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[at - 1] != "\\" else quote
        elif character in "'\"" and depth:
            quote = character
        else:
            depth += (character in "([{") - (character in ")]}")
            if character == "," and depth <= 0:
                parts.append("")
                continue
        parts[-1] += character
    return [stripped for part in parts if (stripped := part.strip())]


class WrongPart(ValueError):
    """Raised with the one part of a list that is wrong."""


class TooLong(ValueError):
    """Raised with the longest time that is allowed."""


def _hook(value: object) -> Hook:
    if callable(value):
        return value
    module, colon, function = _text(value).partition(":")
    if not (colon and module and all(part.isidentifier() for part in function.split("."))):
        raise ValueError
    return _text(value)


def _log_config(value: object) -> LogConfig:
    return value if isinstance(value, dict) else _text(value)


def _percent(value: object) -> float:
    """Read a number of percent; text may say ``5%``. Raises `TypeError`, `ValueError`."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    percent = float(value.strip().removesuffix("%") if isinstance(value, str) else value)
    if percent != percent:  # not a number
        raise ValueError
    return percent


# ------------------------------------------------------------- the types


@dataclass(frozen=True)
class ValueType:
    """How values of one type are read, and what they are called in errors and in the help."""

    words: str
    metavar: str
    read: Callable[[Any], Any]
    example: str = ""
    show: Callable[[Any], str] = "{:g}".format


#: Annotation in `Config` -> type.
VALUE_TYPES = {
    "object": ValueType("an app, or module:attr", "MODULE:ATTR", lambda value: value),
    "bool": ValueType("true or false", "", _bool),
    "int": ValueType("a whole number", "N", whole_number),
    "Size": ValueType("a number of bytes", "BYTES", _size, "65536 or 64K"),
    "Seconds": ValueType("a number of seconds", "SECONDS", _seconds, "1.5, 250ms, 30s or 5m"),
    "Percent": ValueType("a number of percent", "PERCENT", _percent, "5 or 0.5"),
    "Mode": ValueType(
        "octal permission bits (digits 0 to 7)",
        "MODE",
        _mode,
        "660 (as a number, 0o660)",
        "{:o}".format,
    ),
    "str": ValueType("text", "TEXT", _text),
    "CertReqs": ValueType("text", "TEXT", _cert_reqs),
    "Place": ValueType("the path of a URL", "PATH", _place, "/api"),
    "Path": ValueType("the path of a file or directory", "PATH", _path),
    "Texts": ValueType("a list of texts, or one text with commas between them", "TEXT", _texts),
    "Mounts": ValueType("PATH=APP", "PATH=APP", _mounts, "/=old:app or /api=new.asgi:app"),
    "Hook": ValueType("a function", "MODULE:FUNCTION", _hook, "deploy.hooks:warm_up"),
    "LogConfig": ValueType("the path of a TOML, JSON or YAML file", "PATH", _log_config),
}
