"""What a setting of the server is: its checks, its default, its names and its help.

`config.Config` is the only list of settings. Each is a dataclass field made by `setting`, and
everything that users see of it follows from that one row: the flag, the environment variable, the
key in a file, the reference page, and the error text for a wrong value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass
from typing import Any

from bridge.arguments.checks import WSGI_DEFAULTS, WSGI_SETTINGS, Check
from bridge.arguments.values import VALUE_TYPES, ValueType
from bridge.server.config.worker_count import WORKERS

#: Annotation in `Config` -> type.
_TYPES = {**VALUE_TYPES, "Workers": WORKERS}

# ------------------------------------------------------------- one setting


@dataclass(frozen=True, kw_only=True)
class Setting(Check):
    """One row of `Config`, with everything about a setting."""

    name: str
    default: Any
    help: str
    section: str
    short: str | None
    aliases: tuple[str, ...]
    env: tuple[str, ...]
    #: Whether its value is shown nowhere.
    secret: bool

    @property
    def flag(self) -> str:
        """The long option of the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def flags(self) -> tuple[str, ...]:
        """All options that set it, the short one first."""
        return (*((self.short,) if self.short else ()), self.flag, *self.aliases)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it; earlier ones win."""
        return ("BRIDGE_" + self.name.upper(), *self.env)

    @property
    def many(self) -> bool:
        """Whether it is a list, so that its option may be repeated."""
        return isinstance(self.default, tuple)

    @property
    def shown_default(self) -> str:
        """The default as written on the command line; empty if there is none."""
        if self.default in (None, (), ""):
            return ""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        if isinstance(self.default, float) or self.type is VALUE_TYPES["Mode"]:
            return self.type.show(self.default)
        return str(self.default)


def setting(
    default: Any,
    help: str,
    section: str,
    *,
    short: str | None = None,
    aliases: tuple[str, ...] = (),
    env: tuple[str, ...] = (),
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    zero_means: str = "",
    secret: bool = False,
    check: Check | None = None,
) -> Any:
    """Make a field of `Config`. `aliases` are more flags, `env` more environment variables.

    `zero_means` says what 0 means, if it is special. `check`, shared with the adapters, replaces
    `choices`, `minimum`, `maximum` and `zero_means`.
    """
    instead: Mapping[str, str] = {}
    if check is not None:
        instead = check.instead
        choices, zero_means = check.choices, check.zero_means
        minimum, maximum = check.minimum, check.maximum
    about = {
        "help": f"{help} 0: {zero_means}." if zero_means else help,
        "section": section,
        "short": short,
        "aliases": aliases,
        "env": env,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "zero_means": zero_means,
        "instead": instead,
        "secret": secret,
    }
    return dataclasses.field(default=default, repr=not secret, metadata=about)


def wsgi_setting(name: str, help: str, section: str, short: str | None = None) -> Any:
    """Make a field of `Config` that the adapters have too (`checks.WSGI_SETTINGS`)."""
    return setting(WSGI_DEFAULTS[name], help, section, short=short, check=WSGI_SETTINGS[name])


def settings_of(config: type[Any]) -> Iterator[Setting]:
    """Yield the settings of a dataclass whose fields were made by `setting`, in order."""
    for field in dataclasses.fields(config):
        if field.metadata:
            yield Setting(
                name=field.name,
                default=field.default,
                type=_type(field),
                optional=field.default is None,
                **field.metadata,
            )


def _type(field: Field[Any]) -> ValueType:
    annotation = field.type if isinstance(field.type, str) else field.type.__name__
    return _TYPES[annotation.removesuffix(" | None")]
