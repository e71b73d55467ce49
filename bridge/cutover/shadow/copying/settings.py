"""What can be said of live copies: for all routes, and for each (M10, M11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from bridge.arguments.checks import Check, read_all
from bridge.arguments.values import VALUE_TYPES, ValueType
from bridge.cutover.shadow.report.file import LEAST_BYTES, MOST_BYTES
from bridge.cutover.shadow.rules import RuleSet, parse_rules
from bridge.errors import ConfigError
from bridge.http.headers import is_token

_SIZE: Final = VALUE_TYPES["Size"]
_LARGEST: Final = 16 * 1024 * 1024

_SAMPLE: Final = Check(type=VALUE_TYPES["Percent"], minimum=0, maximum=100)
_CHECKS: Final[dict[str, Check]] = {
    "sample": _SAMPLE,
    "noise": _SAMPLE,
    "report": Check(type=VALUE_TYPES["Path"], optional=True),
    "report_size": Check(type=_SIZE, minimum=LEAST_BYTES),
    "timeout": Check(type=VALUE_TYPES["Seconds"], minimum=0.001, maximum=3600),
    "concurrency": Check(type=VALUE_TYPES["int"], minimum=1, maximum=100),
    "max_request_body": Check(type=_SIZE, minimum=0, maximum=_LARGEST),
    "max_response_body": Check(type=_SIZE, minimum=1, maximum=_LARGEST),
}


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """How requests of routes in mode ``shadow`` are copied.

    `sample`: percent of the requests that are copied. `noise`: percent of the copies for which the
    old app is asked once more; what differs then is no difference of the new app. `ignore`: rules
    of what may differ. `fields`: more fields of responses to compare. A route may have a `sample`,
    a `noise` and an `ignore` of its own.

    `report`: a file that gets a line for each copy; `report_size`: bytes that it and its older
    parts may have. `concurrency`: the most copies at once. `timeout`: seconds that a copy may take.
    What is larger than `max_request_body` or `max_response_body` is not copied.

    Raises `ConfigError` for a value that is not allowed.
    """

    sample: float = 100.0
    noise: float = 0.0
    ignore: Any = ()
    fields: Any = ()
    report: str | None = None
    report_size: int = MOST_BYTES
    timeout: float = 10.0
    concurrency: int = 4
    max_request_body: int = 64 * 1024
    max_response_body: int = 1024 * 1024

    def __post_init__(self) -> None:
        """Check all of it."""
        put: Any = object.__setattr__
        for name, check in _CHECKS.items():
            put(self, name, check.read(getattr(self, name), name))
        put(self, "ignore", _texts(self.ignore, "ignore", "$..id"))
        parse_rules(self.ignore)
        names = _texts(self.fields, "fields", "cache-control")
        for each in names:
            if not each.isascii() or not is_token(each.encode()):
                raise ConfigError(f"fields has {each!r}; allowed is a name, such as cache-control")
        put(self, "fields", tuple(each.lower() for each in names))


def read_shadow(given: object) -> Shadow:
    """Return the settings that are given as a `Shadow`, as a table, or not at all.

    Raises `ConfigError`.
    """
    if isinstance(given, Shadow):
        return given
    if given is None:
        return Shadow()
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"shadow is {given!r:.80}; allowed is a table, such as {{ sample = 10, report = "
            '"shadow.jsonl" }'
        )
    try:
        known = {each.name: _CHECKS.get(each.name, _ANY) for each in fields(Shadow)}
        return Shadow(**read_all(known, given, "shadow"))
    except ConfigError as error:
        raise ConfigError(f"shadow: {error}") from None


_ANY: Final = Check(type=ValueType("a list of texts", "TEXT", lambda value: value))


@dataclass(frozen=True)
class RouteShadow:
    """What a route says of its copies, checked; None: as for all routes. Raises `ConfigError`."""

    sample: Any = None
    noise: Any = None
    ignore: Any = None
    #: The rules for this route, read.
    rules: RuleSet | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        put: Any = object.__setattr__
        for name in ("sample", "noise"):
            if getattr(self, name) is not None:
                put(self, name, _SAMPLE.read(getattr(self, name), name))
        if self.ignore is not None:
            put(self, "ignore", _texts(self.ignore, "ignore", "$..id"))
            parse_rules(self.ignore)

    def over(self, shadow: Shadow) -> RouteShadow:
        """Return all values: those of the route, and where it has none, those for all.

        What the route ignores is beside what all routes ignore.
        """
        ignore = (*shadow.ignore, *(self.ignore or ()))
        return RouteShadow(
            shadow.sample if self.sample is None else self.sample,
            shadow.noise if self.noise is None else self.noise,
            ignore,
            parse_rules(ignore),
        )


def _texts(value: object, what: str, example: str) -> tuple[str, ...]:
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise ConfigError(f"{what} is {value!r:.80}; allowed is a list of texts, such as [{example!r}]")
