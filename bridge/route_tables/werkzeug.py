"""The rules of a map of Werkzeug's, in the order in which it tries them; `DispatcherMiddleware`.

A map does not try rules as they were added: at each segment what is written out comes before
converters, and converters stand by their weights. That order is read from the map.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bridge.route_tables.patterns.pattern import Pattern, Text, literal
from bridge.route_tables.patterns.tokens import Hole, pattern_of, tokens_of
from bridge.route_tables.route import AppFinder, AppTable, Submount

APPS = ("werkzeug.middleware.dispatcher.DispatcherMiddleware",)

_VARIABLE = re.compile(
    r"<(?:(?P<converter>[a-zA-Z_]\w*)(?:\((?P<arguments>.*?)\))?:)?(?P<name>[a-zA-Z_]\w*)>"
)


def rules_in_order(url_map: Any) -> list[Any]:
    """Return the rules of a map that can match, the one that is tried first at the beginning."""
    rules = [rule for rule in url_map.iter_rules() if not rule.build_only]
    added: dict[tuple[Any, ...], int] = {}
    return sorted(rules, key=lambda rule: list(_ranks(rule, added)))


def _ranks(rule: Any, added: dict[tuple[Any, ...], int]) -> Iterator[tuple[int, Any, int]]:
    """Yield where each part of a rule stands among those that begin alike.

    `added` counts these beginnings: of two that weigh the same, the first comes first.
    """
    beginning: tuple[Any, ...] = ()
    for part in getattr(rule, "_parts", ()):
        beginning = (*beginning, part.content, part.static, part.final, part.suffixed)
        place = added.setdefault(beginning, len(added))
        yield (0, (), place) if part.static else (1, tuple(part.weight), place)


def pattern_of_rule(rule: Any) -> Pattern:
    """Return the paths that a rule takes."""
    converters = getattr(rule, "_converters", {})

    def hole(found: re.Match[str]) -> Hole:
        regex = getattr(converters.get(found["name"]), "regex", ".*")
        return Hole(found["name"], regex)

    pattern = pattern_of(tokens_of(rule.rule, _VARIABLE, hole))
    if rule.strict_slashes:
        return pattern
    parts = pattern.parts
    if len(parts) > 1 and parts[-1] == Text(""):
        parts = parts[:-1]
    return Pattern(parts, optional_slash=parts != (Text(""),))


def host_of_rule(rule: Any, server_name: str | None) -> str:
    """Return the host that a rule is for; ``""`` for every one."""
    if rule.map.host_matching:
        return rule.host or ""
    if not rule.subdomain:
        return ""
    return f"{rule.subdomain}.{server_name or '*'}"


def read_dispatcher(app: Any, finder: AppFinder) -> AppTable:
    """Return the mounts of a `DispatcherMiddleware`: the longest first, at last its own app."""
    return AppTable("", "Werkzeug", tuple(_mounts(app, finder)))


def _mounts(app: Any, finder: AppFinder) -> Iterator[Submount]:
    for prefix in sorted(app.mounts, key=len, reverse=True):
        place = literal(prefix) if prefix.strip("/") else Pattern(())
        yield Submount(place, finder.table(app.mounts[prefix]))
    yield Submount(Pattern(()), finder.table(app.app))
