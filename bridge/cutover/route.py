"""A route of a `Cutover`: which requests it takes, and who answers them (M1, M5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

from bridge.arguments.checks import Check, close_names
from bridge.arguments.values import VALUE_TYPES
from bridge.cutover.patterns import Pattern
from bridge.errors import ConfigError, shown
from bridge.http.headers import is_token
from bridge.http.mounts import host_name

if TYPE_CHECKING:
    from bridge.cutover.canary.gates import Gate
    from bridge.cutover.canary.settings import CanarySettings
    from bridge.cutover.shadow.copying.settings import RouteShadow

OLD: Final = "old"
SHADOW: Final = "shadow"
CANARY: Final = "canary"
NEW: Final = "new"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


MODE: Final = Check(type=VALUE_TYPES["str"], choices=(OLD, SHADOW, CANARY, NEW))
SHARE: Final = Check(
    type=VALUE_TYPES["Percent"],
    minimum=0,
    maximum=100,
    optional=True,
)


@dataclass(frozen=True, eq=False)
class Route:
    """Requests that go from the old app to the new one together.

    `name` is what they are called in commands, logs and figures. `paths` are patterns, one or
    several: ``"/invoices/{id}"``, as in Starlette and FastAPI. `methods`: these only; GET takes
    HEAD along, and a WebSocket is a GET. `host`: for a name, or ``*.name``, only. `mode` says who
    answers: ``old``, ``new``, ``canary`` (the new app for `share` percent of the clients), or
    ``shadow`` (the old app, and a copy goes to the new one).

    For ``canary``: `sticky` says what tells clients apart, `gate` when the new app is taken back,
    `steps` and `step_time` how the share climbs, `on_rollback` what is called then
    (`canary/settings.py`). `rescue`: whether the old app answers safe requests that the new one
    fails, also in mode ``new``.

    For ``shadow``: `sample` says how many percent of the requests are copied, `noise` for how many
    percent of the copies the old app is asked once more, `ignore` what may differ
    (`shadow/copying/settings.py`). None: as the `Cutover` says for all routes.

    Raises `ConfigError` for a value that is not allowed.
    """

    name: str
    paths: str | Sequence[str]
    methods: str | Iterable[str] | None = None
    host: str | None = None
    mode: str = OLD
    share: float | str | None = None
    sticky: str = "cookie"
    gate: Gate | Mapping[str, Any] | None = None
    steps: Sequence[float] | None = None
    step_time: float | str | Sequence[float | str] = "10m"
    rescue: bool = False
    on_rollback: str | Callable[..., object] | None = None
    sample: float | str | None = None
    noise: float | str | None = None
    ignore: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check the values, and read those that may be written in several ways."""
        set_to: Any = object.__setattr__
        _check_name(self.name)
        try:
            set_to(self, "paths", _read_texts(self.paths, "paths", "/invoices/{id}"))
            set_to(self, "_patterns", tuple(Pattern(path) for path in self.paths))
            if self.methods is not None:
                set_to(self, "methods", _read_methods(self.methods))
            if self.host is not None:
                set_to(self, "host", _read_host(self.host))
            set_to(self, "mode", MODE.read(self.mode, "mode"))
            set_to(self, "share", SHARE.read(self.share, "share"))
            canary = self._read_canary()
            set_to(self, "_canary", canary)
            set_to(self, "_shadow", self._read_shadow())
            if self.mode == CANARY and self.share is None and canary is not None:
                set_to(self, "share", canary.first_share)
            if self.mode == CANARY and self.share is None:
                raise ConfigError("mode is canary, and share says nothing; say share=5 for 5 %")
        except ConfigError as error:
            raise ConfigError(f"route {self.name}: {error}") from None

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The paths, as patterns."""
        found: tuple[Pattern, ...] = self.__dict__["_patterns"]
        return found

    @property
    def canary(self) -> CanarySettings | None:
        """What is said of the canary, read; None if nothing is, and the mode is another one."""
        found: CanarySettings | None = self.__dict__["_canary"]
        return found

    @property
    def shadow(self) -> RouteShadow | None:
        """What is said of its copies, read; None if nothing is."""
        found: RouteShadow | None = self.__dict__["_shadow"]
        return found

    def _read_shadow(self) -> RouteShadow | None:
        if self.sample is self.noise is self.ignore is None:
            return None
        from bridge.cutover.shadow.copying.settings import RouteShadow  # few routes need it

        return RouteShadow(self.sample, self.noise, self.ignore)

    def _read_canary(self) -> CanarySettings | None:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        own = {name: given[name] for name in _CANARY_DEFAULTS}
        if self.mode != CANARY and own == _CANARY_DEFAULTS:
            return None
        from bridge.cutover.canary.settings import CanarySettings  # few routes need it

        return CanarySettings(**own)

    def accepts(self, method: str, host: str) -> bool:
        """Whether it takes requests with this method and Host field, if the path is right."""
        if self.methods is not None and method not in self.methods:
            return False
        if self.host is None:
            return True
        name = host_name(host)
        if self.host.startswith("*."):
            return name.endswith(self.host[1:])
        return name == self.host

    def says_as(self, other: Route) -> bool:
        """Whether another one says the same in all."""
        return all(getattr(self, name) == getattr(other, name) for name in _FIELDS)

    def switched(self, mode: str, share: float | str | None = None) -> Route:
        """Return the same route with another mode; without `share` it keeps its own."""
        return replace(self, mode=mode, share=self.share if share is None else share)


_FIELDS: Final = tuple(each.name for each in fields(Route))
#: Settings of a canary, as they are if nothing is said.
_CANARY_DEFAULTS: Final = {
    each.name: each.default
    for each in fields(Route)
    if each.name in ("sticky", "gate", "steps", "step_time", "rescue", "on_rollback")
}


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"the name of a route is {name!r}; allowed are letters, digits, and - _ . behind the "
            "first of them, such as invoices"
        )


def _read_texts(value: object, what: str, example: str) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, Iterable) or not (found := tuple(texts)):
        raise ConfigError(f"{what} is {value!r}; allowed is one text or several, such as {example}")
    for each in found:
        if not isinstance(each, str):
            raise ConfigError(f"{what} has {each!r}; allowed is text, such as {example}")
    return found


def _read_methods(value: object) -> frozenset[str]:
    methods = _read_texts(value, "methods", "GET")
    for each in methods:
        if not each.isascii() or not is_token(each.encode()):
            raise ConfigError(f"methods has {each!r}; allowed is a method, such as GET")
    found = {each.upper() for each in methods}
    return frozenset(found | {"HEAD"} if "GET" in found else found)


def _read_host(value: object) -> str:
    text = value.lower() if isinstance(value, str) else ""
    name = text.removeprefix("*.")
    if not name or host_name(text) != text or any(mark in name for mark in "*/@ "):
        raise ConfigError(
            f"host is {value!r}; allowed is a name, or *.name, without a port, such as "
            "shop.example.com"
        )
    return text


def check_routes(routes: object) -> tuple[Route, ...]:
    """Return the routes of a `Cutover`. Raises `ConfigError` for others, and for equal names."""
    if not isinstance(routes, Iterable) or isinstance(routes, str | bytes):
        raise ConfigError(f"routes is {shown(routes)}; allowed is a list of Route(...), or a file")
    found = tuple(routes)
    seen: set[str] = set()
    for each in found:
        if not isinstance(each, Route):
            raise ConfigError(f"routes has {shown(each)}; allowed is Route(name, paths, ...)")
        if each.name in seen:
            raise ConfigError(f"two routes are called {each.name}; give each a name of its own")
        seen.add(each.name)
    return found


def unknown_route(name: str, routes: Iterable[Route]) -> ConfigError:
    """Make the error for the name of a route that does not exist."""
    names = [each.name for each in routes]
    close = close_names(name, names, 1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(names) or 'none'}"
    return ConfigError(f"there is no route {name}; {meant}")
