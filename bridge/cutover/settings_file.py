"""The file of a cutover: both apps and the routes, in TOML (M1, M5).

    old = "legacy.wsgi:app"
    new = "new.asgi:app"

    [[routes]]
    name = "invoices"
    paths = ["/invoices", "/invoices/{id}"]
    mode = "canary"
    share = 5

It is a file of its own, or the table ``[tool.bridge.cutover]`` of a pyproject.toml, or
``[cutover]`` of another file of settings. What is wrong in it is one line that names the file and
the place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from bridge.arguments.checks import close_names
from bridge.cutover.route import Route, check_routes
from bridge.errors import ConfigError

#: Keys beside `routes`: the apps, and arguments of `Cutover`.
APPS: Final = ("old", "new")
OPTIONS: Final = ("served_by", "require_new", "shadow")
#: Keys of the table of shadow that are for each route, too, and so are read again with these.
_OF_ROUTES: Final = ("sample", "noise", "ignore")
#: The most bytes of a file. A supervisor reads it while it has nothing else to do but wait.
MOST_BYTES: Final = 1024 * 1024
_ROUTE_KEYS: Final = tuple(each.name for each in fields(Route))


@dataclass(frozen=True)
class Plan:
    """What a file says: the targets of the apps, arguments of `Cutover`, and the routes."""

    apps: Mapping[str, str]
    options: Mapping[str, Any]
    routes: tuple[Route, ...]


#: Path -> the text that stands for the file in this process. A supervisor gives its workers what it
#: has read last: a file that is half edited when one of them starts does no harm.
given_texts: Final[dict[str, str]] = {}


def read_plan(path: str) -> Plan:
    """Read a file. Raises `ConfigError`, whose one line begins with the file."""
    text = given_texts.get(os.path.abspath(path))
    return plan_of(path, read_text(path) if text is None else text)


def plan_of(path: str, text: str) -> Plan:
    """Read what a file says. Raises `ConfigError`, whose one line begins with the file."""
    try:
        return parse_plan(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def read_text(path: str) -> str:
    """Return the text of a file. Raises `ConfigError`."""
    try:
        return decoded(read_bytes(path))
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}; name a TOML file that has [[routes]]"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: it is not UTF-8; save it as UTF-8") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def decoded(content: bytes) -> str:
    """Return the text of a file, as it was read: an editor may have put a BOM before it."""
    return content.decode("utf-8-sig")


def read_bytes(path: str) -> bytes:
    """Return what is in a file, and wait for nobody who is to write it.

    Raises `OSError`, and `ConfigError` for what is no file, or too large.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ConfigError("it is no regular file; name a TOML file that has [[routes]]")
        found = file.read(MOST_BYTES + 1)
    check_size(found)
    return found


def check_size(content: bytes) -> None:
    """Raise `ConfigError` for more than a file of routes may have."""
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"it is larger than {MOST_BYTES // 1024} KiB, which is the most for a file of routes"
        )


def parse_plan(text: str) -> Plan:
    """Read the text of a file. Raises `ConfigError`."""
    import tomllib  # only if there is a file

    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ConfigError("it is not TOML that can be read: it is nested too deeply") from None
    except ValueError as error:  # also for a number with thousands of digits
        raise ConfigError(f"it is not TOML: {error}") from None
    table = find_table(document)
    _check_keys(table, (*APPS, *OPTIONS, "routes"), "the file")
    apps = {name: table[name] for name in APPS if name in table}
    for name, target in apps.items():
        if not isinstance(target, str) or not target:
            raise ConfigError(f"{name} is {target!r}; allowed is an app, such as {name}.app:app")
    given = table.get("routes", [])
    if not isinstance(given, list):
        raise ConfigError(f"routes is {given!r:.40}; allowed are tables, each below [[routes]]")
    defaults = _defaults(table.get("shadow"))
    routes = check_routes([_route(each, number, defaults) for number, each in enumerate(given, 1)])
    return Plan(apps, {name: table[name] for name in OPTIONS if name in table}, routes)


def find_table(document: Any) -> Any:
    """Return the table of a cutover in a document, or the whole of it."""
    match document:
        case {"tool": {"bridge": {"cutover": dict()}}}:
            return document["tool"]["bridge"]["cutover"]
        case {"cutover": dict()}:
            return document["cutover"]
        case {"tool": dict()}:
            raise ConfigError(
                "it has no table [tool.bridge.cutover]; add it, or name a file of routes"
            )
    return document


def _defaults(shadow: object) -> dict[str, Any]:
    """Return what the table of shadow says for routes that say nothing; all of it is checked."""
    if shadow is None:
        return {}
    from bridge.cutover.shadow.copying.settings import read_shadow  # few files have it

    read_shadow(shadow)
    assert isinstance(shadow, Mapping)
    return {name: shadow[name] for name in _OF_ROUTES if name in shadow}


def _route(given: object, number: int, defaults: Mapping[str, Any]) -> Route:
    if not isinstance(given, Mapping):
        raise ConfigError(f"routes has {given!r:.40}; allowed are tables, each below [[routes]]")
    name = given.get("name")
    place = f"route {name}" if isinstance(name, str) else f"route number {number}"
    _check_keys(given, _ROUTE_KEYS, place)
    for needed in ("name", "paths"):
        if needed not in given:
            raise ConfigError(f"{place} has no {needed}; a route needs name and paths")
    values = {**defaults, **given}
    if isinstance(given.get("ignore"), list):
        values["ignore"] = [*defaults.get("ignore", ()), *given["ignore"]]
    return Route(**values)


def _check_keys(given: Iterable[str], known: tuple[str, ...], place: str) -> None:
    for key in given:
        if key not in known:
            close = close_names(key, known, 1)
            meant = f"did you mean {close[0]}?" if close else f"allowed is {', '.join(known)}"
            raise ConfigError(f"{place} has {key}, which is not known; {meant}")
