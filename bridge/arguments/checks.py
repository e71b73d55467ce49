"""Check values, with the same error texts everywhere (S61).

The settings of the server, of the adapters and of the dispatcher are all checked here. So a number
of threads that is refused on the command line is refused in Python too, in the same words: what was
given, and what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.arguments.values import VALUE_TYPES, TooLong, ValueType, WrongPart
from bridge.errors import ConfigError, shown


def close_names(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Return those of `known` that are close to `name`: one of them was probably meant.

    First those of the same words in another order: ``request_timeout`` is ``timeout_request``.
    """
    import difflib  # only after a mistake: other processes need not load it

    names = list(known)
    swapped = [each for each in names if each != name and _words(each) == _words(name)]
    close = difflib.get_close_matches(name, names, count, cutoff=0.75)
    return list(dict.fromkeys([*swapped, *close]))[:count]


def _words(name: str) -> list[str]:
    return sorted(name.replace("_", "-").split("-"))


# ------------------------------------------------------------- one value


@dataclass(frozen=True, kw_only=True)
class Check:
    """What one value may be. `optional`: it may be None, or empty text, which means None."""

    type: ValueType
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    zero_means: str = ""
    optional: bool = False
    #: What to say to values that are not allowed, but that other programs have.
    instead: Mapping[str, str] = field(default_factory=dict)

    @property
    def allowed(self) -> str:
        """What the value may be, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words, show = self.type.words, self.type.show
        if self.maximum is not None:
            words += f" from {show(self.minimum)} to {show(self.maximum)}"
        elif self.minimum is not None:
            words += f", at least {show(self.minimum)}"
        if self.zero_means:
            words += f" (0: {self.zero_means})"
        return f"{words}, such as {self.type.example}" if self.type.example else words

    def read(self, value: object, label: str) -> Any:
        """Convert `value`, which may be text, to its type, and check it.

        `label` names its source. Raises `ConfigError`, which says what was given there, and what is
        allowed.
        """
        if self.optional and (value is None or (isinstance(value, str) and not value)):
            return None
        try:
            result = self.type.read(value)
        except TooLong as error:
            off = f"; 0: {self.zero_means}" if self.zero_means else ""
            raise ConfigError(f"{label} is {value!r}; {error}{off}") from None
        except WrongPart as error:
            raise self.wrong(error.args[0], label) from None
        except (TypeError, ValueError, KeyError):
            raise self.wrong(value, label) from None
        if self.choices and result not in self.choices:
            if not isinstance(result, str) or result.lower() not in self.choices:
                raise self.wrong(value, label)
            result = result.lower()
        if (self.minimum is not None and result < self.minimum) or (
            self.maximum is not None and result > self.maximum
        ):
            raise self.wrong(value, label)
        return result

    def wrong(self, value: object, label: str) -> ConfigError:
        """Make the error for a value that is not allowed."""
        meant = ""
        if self.choices and isinstance(value, str):
            close = close_names(value.lower(), self.choices, 1)
            advice = self.instead.get(value.lower())
            meant = f"; {advice}" if advice else f"; did you mean {close[0]}?" if close else ""
        return ConfigError(f"{label} is {value!r}; allowed is {self.allowed}{meant}")


def read_all(checks: Mapping[str, Check], given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Read the values `given` to `owner`, each by its check; None counts as not given.

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
    """Raise `ConfigError` if the arguments of a `Dispatcher` have wrong types."""
    if mounts is not None and not isinstance(mounts, Mapping):
        raise ConfigError(
            f"a Dispatcher takes a dictionary of places and apps, and not {shown(mounts)}: write "
            'Dispatcher({"/prefix": app}), or Dispatcher(fallback=[new, old])'
        )
    if fallback is not None and not isinstance(fallback, list | tuple):
        raise ConfigError(
            f"fallback is {shown(fallback)}; allowed is a list of apps, which are asked in order: "
            "fallback=[new, old]"
        )


# ------------------------------------------------------------- how a WSGI app runs

#: Settings of `WsgiToAsgi`, of a mount and of the server. What is not set for an app itself comes
#: from the server's settings; without our server, from `WSGI_DEFAULTS`.
WSGI_SETTINGS: dict[str, Check] = {
    "runner": Check(
        type=VALUE_TYPES["str"],
        choices=("thread", "greenlet", "inline"),
        instead=dict.fromkeys(
            ("gevent", "eventlet"),
            "greenlet with --patch, or bridge.greenlet_patch(), waits as they do",
        ),
    ),
    "threads": Check(type=VALUE_TYPES["int"], minimum=1),
    "queue_limit": Check(type=VALUE_TYPES["int"], minimum=1),
    "queue_timeout": Check(type=VALUE_TYPES["Seconds"], minimum=0, zero_means="any"),
    "stream_after": Check(type=VALUE_TYPES["Seconds"], minimum=0, zero_means="at once"),
    "stream_limit": Check(type=VALUE_TYPES["int"], minimum=0, zero_means="none leaves"),
    "timeout_request": Check(type=VALUE_TYPES["Seconds"], minimum=0, zero_means="any"),
    "websocket": Check(type=VALUE_TYPES["bool"]),
    "strict": Check(type=VALUE_TYPES["bool"]),
}
WSGI_DEFAULTS: dict[str, Any] = {
    "runner": "thread",
    "threads": 8,
    "queue_limit": 1024,
    "queue_timeout": 0.0,
    "stream_after": 1.0,
    "stream_limit": 256,
    "timeout_request": 0.0,
    "websocket": False,
    "strict": False,
}
