"""Rules: what may differ between the old answer and the new one (M11). Pure.

    $.items[*].updated_at   this place in JSON, and all below it; [*] is any item, .* any key
    $..id                   this key, however deep
    header:etag             this field, if it is compared
    cookie:csrftoken        this cookie; * stands for any characters: cookie:ab_*
    status:301=302          where the old app answers 301, the new one may answer 302
    text:/v=[0-9.]+/        what this regular expression finds in texts is left out on both sides
    numbers                 the same number, written otherwise: 9.90 and 9.9, 1 and 1.0
    null=missing            a key with null on one side that is missing on the other
    body                    the whole body

``@NAME`` before a rule makes it one for the route of that name only, ``@/api/*`` for the paths
below /api: ``@/api/* header:location``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final, TypeAlias

from bridge.cutover.shadow.json_walk import ABSENT, Path
from bridge.errors import ConfigError


class _Wildcard:
    """A part of a rule's path that stands for others."""


ANY_KEY, ANY_ITEM, DEEP = _Wildcard(), _Wildcard(), _Wildcard()
Pattern: TypeAlias = tuple[str | int | _Wildcard, ...]

_ALLOWED: Final = (
    "allowed are $.a.path[*], $..key, header:NAME, cookie:NAME, status:OLD=NEW, text:/REGEX/, "
    "numbers, null=missing and body, each with @ROUTE or @/PATH/* before it if it is not for all"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What may differ in the answers to one request."""

    paths: tuple[Pattern, ...] = ()
    headers: frozenset[str] = frozenset()
    cookies: tuple[str, ...] = ()
    statuses: frozenset[tuple[int, int]] = frozenset()
    texts: tuple[re.Pattern[str], ...] = ()
    numbers: bool = False
    null_is_missing: bool = False
    body: bool = False

    def allow_json(self, path: Path, kind: str, old: Any, new: Any) -> bool:
        """Whether a difference of JSON may be."""
        if kind == "number" and self.numbers:
            return True
        if self.null_is_missing and _is_null_or_missing(path, old, new):
            return True
        return any(_covers(pattern, path) for pattern in self.paths)

    def allow_cookie(self, name: str) -> bool:
        """Whether a cookie may differ, or be there on one side only."""
        return any(fnmatchcase(name, pattern) for pattern in self.cookies)


def _is_null_or_missing(path: Path, old: Any, new: Any) -> bool:
    """Whether a key is null on one side and not there on the other."""
    if not path or type(path[-1]) is not str:  # an item that is missing moves all others
        return False
    return (old is None and new is ABSENT) or (old is ABSENT and new is None)


NO_RULES: Final = Rules()


@dataclass(slots=True)
class RuleSet:
    """All rules, of which each request gets its own: those for all, its route's, its path's."""

    rules: tuple[tuple[str, Rules], ...]
    _known: dict[tuple[str, ...], Rules] = field(default_factory=dict)

    def rules_for(self, route: str, path: str) -> Rules:
        """Return what may differ in the answers to a request of `route` at `path`."""
        scopes = tuple(
            scope for scope, _ in self.rules if not scope or scope == route or _at(scope, path)
        )
        if scopes not in self._known:  # as many as there are combinations of scopes
            self._known[scopes] = _joined(rule for scope, rule in self.rules if scope in scopes)
        return self._known[scopes]


def _at(scope: str, path: str) -> bool:
    return scope.startswith("/") and fnmatchcase(path, scope)


def _joined(rules: Iterable[Rules]) -> Rules:
    all_of = list(rules)
    return Rules(
        paths=tuple(each for rule in all_of for each in rule.paths),
        headers=frozenset().union(*(rule.headers for rule in all_of)),
        cookies=tuple(each for rule in all_of for each in rule.cookies),
        statuses=frozenset().union(*(rule.statuses for rule in all_of)),
        texts=tuple(each for rule in all_of for each in rule.texts),
        numbers=any(rule.numbers for rule in all_of),
        null_is_missing=any(rule.null_is_missing for rule in all_of),
        body=any(rule.body for rule in all_of),
    )


def parse_rules(texts: Iterable[str]) -> RuleSet:
    """Read rules as they are written above. Raises `ConfigError` for what is none."""
    if isinstance(texts, str):
        raise ConfigError(f"the rules are a text, {texts!r}; allowed is a list of texts")
    return RuleSet(tuple(map(_scoped, texts)))


def _scoped(text: object) -> tuple[str, Rules]:
    if not isinstance(text, str):
        raise ConfigError(
            f"{text!r} is no rule, as it is no text but {type(text).__name__}; {_ALLOWED}"
        )
    rule, scope = text.strip(), ""
    if rule.startswith("@"):
        scope, _, rule = rule[1:].partition(" ")
        if not scope or not rule.strip():
            raise ConfigError(f"{text!r} is no rule; write @ROUTE RULE, such as @invoices $..id")
    return scope, _parse(rule.strip())


_WORDS: Final = {
    "numbers": Rules(numbers=True),
    "null=missing": Rules(null_is_missing=True),
    "body": Rules(body=True),
}


def _parse(rule: str) -> Rules:
    if rule in _WORDS:
        return _WORDS[rule]
    if rule.startswith("$"):
        return Rules(paths=(_parse_path(rule),))
    kind, _, what = rule.partition(":")
    what = what.strip()
    if kind == "header" and what and not set(what) & set(" :*"):
        return Rules(headers=frozenset({what.lower()}))
    if kind == "cookie" and what and " " not in what:
        return Rules(cookies=(what,))
    if kind == "status" and (pair := re.fullmatch(r"([1-5]\d\d)=([1-5]\d\d)", what, re.ASCII)):
        return Rules(statuses=frozenset({(int(pair[1]), int(pair[2]))}))
    if kind == "text" and len(what) > 2 and what[0] == what[-1] == "/":
        return Rules(texts=(_expression(rule, what[1:-1]),))
    raise ConfigError(f"{rule!r} is no rule for what may differ; {_ALLOWED}")


def _expression(rule: str, expression: str) -> re.Pattern[str]:
    try:
        found = re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"{rule!r} has no regular expression of Python's: {error}") from None
    return found


# ------------------------------------------------------------- paths

_PART: Final = re.compile(
    r"(?P<deep>\.\.)?(?:"
    r"(?(deep)|\.)(?P<key>[^\s.\[\]*\"]+)|(?(deep)|\.)(?P<any_key>\*)"
    r"|\[(?P<index>\d{1,9})\]|\[(?P<any_item>\*)\]|\[(?P<quoted>\"(?:[^\"\\]|\\.)*\")\])"
)


def _parse_path(rule: str) -> Pattern:
    parts: list[str | int | _Wildcard] = []
    at = 1
    while at < len(rule):
        part = _PART.match(rule, at)
        if part is None:
            raise ConfigError(
                f"{rule!r} is no path in JSON, from {rule[at:]!r} on; write it as "
                '$.items[*].price, $..id, $.*.name or $["odd key"]'
            )
        if part["deep"]:
            parts.append(DEEP)
        parts.append(_named(part))
        at = part.end()
    return tuple(parts)


def _named(part: re.Match[str]) -> str | int | _Wildcard:
    if part["key"] is not None:
        return part["key"]
    if part["index"] is not None:
        return int(part["index"])
    if part["quoted"] is not None:
        try:
            return str(json.loads(part["quoted"]))
        except ValueError:
            raise ConfigError(f"{part[0]!r} is no key; write it as a text in JSON") from None
    return ANY_KEY if part["any_key"] else ANY_ITEM


def _covers(pattern: Pattern, path: Path) -> bool:
    """Whether `pattern` names `path` or a place above it, as file names are matched with stars."""
    at = given = 0
    after_deep, retry = -1, 0
    while at < len(pattern):
        part = pattern[at]
        if part is DEEP:
            at += 1
            after_deep, retry = at, given
        elif given < len(path) and _fits(part, path[given]):
            at, given = at + 1, given + 1
        elif after_deep >= 0 and retry < len(path):
            retry += 1
            at, given = after_deep, retry
        else:
            return False
    return True


def _fits(part: str | int | _Wildcard, given: str | int) -> bool:
    if part is ANY_KEY:
        return type(given) is str
    if part is ANY_ITEM:
        return type(given) is int
    return type(part) is type(given) and part == given
