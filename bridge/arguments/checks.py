"""Whether a value is allowed, and what is said if not: the same words everywhere (S11).

The server's settings, those of the adapters and of the dispatcher are checked here, so that a
number of threads that is refused on the command line is refused in Python too, in the same words:
what was seen, and what is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bridge.errors import ConfigError
from bridge.http.paths import place

#: Bytes; text may say ``64K``, ``16M`` or ``1G`` (powers of 1024).
Size: TypeAlias = int
Seconds: TypeAlias = float
#: Permission bits; text is octal.
Mode: TypeAlias = int
#: The path under which an app is mounted: ``/api``, or empty; a slash more or less is the same.
Place: TypeAlias = str
Path: TypeAlias = str
Texts: TypeAlias = tuple[str, ...]
#: ``PATH=APP`` each; a mapping will do.
Mounts: TypeAlias = tuple[str, ...]
#: A file, or a ``logging.config`` dictionary.
LogConfig: TypeAlias = str | dict[str, Any]


# ------------------------------------------------------------- from text to values

_TRUTH = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return _TRUTH[_text(value).lower()]


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _size(value: object) -> int:
    if isinstance(value, str) and value[-1:].upper() in _UNITS:
        return int(value[:-1]) * _UNITS[value[-1].upper()]
    return _int(value)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    seconds = float(value)
    if not seconds < float("inf"):
        raise ValueError
    return seconds


def _mode(value: object) -> int:
    return int(value, 8) if isinstance(value, str) else _int(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _place(value: object) -> str:
    if any(character in "?#" or not character.isprintable() for character in _text(value)):
        raise ValueError
    if "://" in _text(value):
        raise ValueError
    return place(_text(value))


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
            raise _WrongPart(mount)
    return mounts


def _split(text: str) -> list[str]:
    """The parts between commas that are not in parentheses or quotes: targets may be calls."""
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


class _WrongPart(ValueError):
    """It is this part of a list that is wrong."""


def _log_config(value: object) -> LogConfig:
    return value if isinstance(value, dict) else _text(value)


def close_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Those of `known` that are so close to `name` that one of them was probably meant."""
    import difflib  # where something is wrong; every worker would carry it along

    return difflib.get_close_matches(name, list(known), count, cutoff=0.75)


@dataclass(frozen=True)
class Kind:
    """How values of one type are read, and how they are spoken of."""

    words: str
    metavar: str
    read: Callable[[Any], Any]
    example: str = ""
    show: Callable[[Any], str] = "{:g}".format


#: The kind of each annotation in `Config`.
KINDS = {
    "object": Kind("an app, or module:attr", "MODULE:ATTR", lambda value: value),
    "bool": Kind("true or false", "", _bool),
    "int": Kind("a whole number", "N", _int),
    "Size": Kind("a number of bytes", "BYTES", _size, "65536 or 64K"),
    "Seconds": Kind("a number of seconds", "SECONDS", _seconds),
    "Mode": Kind(
        "octal permission bits (digits 0 to 7)",
        "MODE",
        _mode,
        "660 (as a number, 0o660)",
        "{:o}".format,
    ),
    "str": Kind("text", "TEXT", _text),
    "Place": Kind("the path of a URL", "PATH", _place, "/api"),
    "Path": Kind("the path of a file or directory", "PATH", _text),
    "Texts": Kind(
        "a list of texts (with commas between them where it is one text)", "TEXT", _texts
    ),
    "Mounts": Kind("PATH=APP", "PATH=APP", _mounts, "/=old:app or /api=new.asgi:app"),
    "LogConfig": Kind("the path of a TOML, JSON or YAML file", "PATH", _log_config),
}


# ------------------------------------------------------------- one value


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one value may be. `optional`: None too, which text says by being empty."""

    kind: Kind
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    zero: str = ""
    optional: bool = False

    @property
    def allowed(self) -> str:
        """What it may be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words, show = self.kind.words, self.kind.show
        if self.most is not None:
            words += f" from {show(self.least)} to {show(self.most)}"
        elif self.least is not None:
            words += f", at least {show(self.least)}"
        if self.zero:
            words += f" (0: {self.zero})"
        return f"{words}, such as {self.kind.example}" if self.kind.example else words

    def read(self, value: object, label: str) -> Any:
        """`value`, which may be text, as its proper type.

        `label` names where it came from. Raises `ConfigError` that says what was seen there, and
        what is allowed.
        """
        if self.optional and (value is None or (isinstance(value, str) and not value)):
            return None
        try:
            result = self.kind.read(value)
        except _WrongPart as error:
            raise self.wrong(error.args[0], label) from None
        except (TypeError, ValueError, KeyError):
            raise self.wrong(value, label) from None
        if self.choices and result not in self.choices:
            if not isinstance(result, str) or result.lower() not in self.choices:
                raise self.wrong(value, label)
            result = result.lower()
        if (self.least is not None and result < self.least) or (
            self.most is not None and result > self.most
        ):
            raise self.wrong(value, label)
        return result

    def wrong(self, value: object, label: str) -> ConfigError:
        """The error for a value that is not allowed."""
        return ConfigError(f"{label} is {value!r}; allowed is {self.allowed}")


def read_all(checks: Mapping[str, Check], given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """The values `given` to `owner`, each read by its check; None says nothing, and is left out.

    Raises `ConfigError` for a value that is not allowed, and for a name that has no check.
    """
    read = {}
    for name, value in given.items():
        check = checks.get(name)
        if check is None:
            close = close_names(name, checks)
            meant = f"did you mean {close[0]}?" if close else f"it has {', '.join(checks)}"
            raise ConfigError(f"{name} is no setting of {owner}; {meant}")
        if value is not None:
            read[name] = check.read(value, name)
    return read


def check_mounting(mounts: object, fallback: object) -> None:
    """Raise `ConfigError` if a `Dispatcher` is given something else than what it takes."""
    if mounts is not None and not isinstance(mounts, Mapping):
        raise ConfigError(
            f"a Dispatcher takes a dictionary of places and apps, and not {mounts!r:.80}: write "
            'Dispatcher({"/prefix": app}), or Dispatcher(fallback=[new, old])'
        )
    if fallback is not None and not isinstance(fallback, list | tuple):
        raise ConfigError(
            f"fallback is {fallback!r:.80}; allowed is a list of apps, which are asked in order: "
            "fallback=[new, old]"
        )


# ------------------------------------------------------------- how a WSGI app runs

#: Settings of the server, of `WsgiToAsgi` and of a mount: where the app says nothing itself, the
#: server's hold, and elsewhere `RUNNING_DEFAULTS`.
RUNNING: dict[str, Check] = {
    "runner": Check(kind=KINDS["str"], choices=("thread", "greenlet", "inline")),
    "threads": Check(kind=KINDS["int"], least=1),
    "queue_limit": Check(kind=KINDS["int"], least=1),
    "queue_timeout": Check(kind=KINDS["Seconds"], least=0, zero="any"),
    "websocket": Check(kind=KINDS["bool"]),
    "strict": Check(kind=KINDS["bool"]),
}
RUNNING_DEFAULTS: dict[str, Any] = {
    "runner": "thread",
    "threads": 8,
    "queue_limit": 1024,
    "queue_timeout": 0.0,
    "websocket": False,
    "strict": False,
}
