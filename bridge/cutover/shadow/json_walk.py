"""Differences of two JSON texts by structure, each with its exact path (M11). Pure.

Numbers are compared as they are written. ``9.90`` and ``9.9`` are the same number for most
readers, but not for those that read decimals, nor ``1`` and ``1.0`` for those that read integers:
so that is a difference, of a kind of its own (``number``), which the rule ``numbers`` ignores.
Whether ``true``, ``null``, a text or a number is there is a matter of type. The order of keys
counts for nothing, that of items in arrays does: they are compared one by one.

The cost is bounded. Nothing here calls itself, what lies deeper than `DEPTH` is compared as a
whole, and the walk ends when `MOST_SEEN` differences were seen or `MOST_TOLD` are told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from bridge.cutover.shadow.secrets import BLACK, blacked_string, is_secret

#: How deep differences are told exactly.
DEPTH: Final = 100
#: The most differences that one comparison tells, and that it looks at at all.
MOST_TOLD: Final = 50
MOST_SEEN: Final = 5_000
#: The most characters of a value that a difference shows.
SHOWN: Final = 80

#: The most characters of a value in which secrets are looked for: more is not shown anyway.
_MOST_LOOKED_AT: Final = 400

#: Keys and indexes, from the root.
Path: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: where, of what kind, and what is there on both sides, for people.

    `place` is exact (``$.items[3].price``), `pattern` is it for all items (``$.items[*].price``).
    Kinds: ``missing`` (the new side does not have it), ``added``, ``type``, ``value``, ``number``
    (the same number, written otherwise). Values of secret keys are not in it.
    """

    place: str
    pattern: str
    kind: str
    old: str
    new: str

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"{self.place}: {self.old} -> nothing"
        if self.kind == "added":
            return f"{self.place}: nothing -> {self.new}"
        return f"{self.place}: {self.old} -> {self.new}"


#: Whether a difference at a path, of a kind, with these values, may be.
Allowed: TypeAlias = Callable[[Path, str, Any, Any], bool]


class _Absent:
    """What stands for a key or an item that one side does not have."""


ABSENT: Final = _Absent()


def read_json(body: bytes) -> Any:
    """Return what JSON says; numbers are kept as bytes, as they are written.

    Raises `ValueError` for what is no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(
            body, parse_int=str.encode, parse_float=str.encode, parse_constant=str.encode
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def walk(old: Any, new: Any, allowed: Allowed) -> tuple[list[Difference], bool]:
    """Return the differences of two values of `read_json`, and whether there are more."""
    told: list[Difference] = []
    if _same(old, new):
        return told, False
    for seen, (path, kind, one, other) in enumerate(_each(old, new), 1):
        if not allowed(path, kind, one, other):
            if len(told) == MOST_TOLD:
                return told, True
            told.append(_difference(path, kind, one, other))
        if seen == MOST_SEEN:
            return told, True
    return told, False


def _same(old: Any, new: Any) -> bool:
    try:
        return bool(old == new)  # true is not 1 here, as numbers are bytes
    except RecursionError:
        return False


def _each(old: Any, new: Any) -> Iterator[tuple[Path, str, Any, Any]]:
    """Yield the path, the kind and both values of each difference, in the order of the old text."""
    left: list[tuple[Path, Any, Any]] = [((), old, new)]
    while left:
        path, one, other = left.pop()
        kind = type(one)
        if one is ABSENT:
            yield path, "added", one, other
        elif other is ABSENT:
            yield path, "missing", one, other
        elif kind is not type(other):
            yield path, "type", one, other
        elif kind is dict and len(path) < DEPTH:
            left.extend(reversed(list(_children(path, one, other))))
        elif kind is list and len(path) < DEPTH:
            left.extend(reversed(list(_items(path, one, other))))
        elif not _same(one, other):
            same = kind is bytes and _same_number(one, other)
            yield path, "number" if same else "value", one, other


_PLAIN: Final = (str, bytes, bool, type(None))


def _children(path: Path, old: dict[str, Any], new: dict[str, Any]) -> Iterator[Any]:
    for key, value in old.items():
        other = new.get(key, ABSENT)
        if type(value) not in _PLAIN or type(value) is not type(other) or value != other:
            yield (*path, key), value, other
    for key, value in new.items():
        if key not in old:
            yield (*path, key), ABSENT, value


def _items(path: Path, old: list[Any], new: list[Any]) -> Iterator[Any]:
    for at in range(max(len(old), len(new))):
        value = old[at] if at < len(old) else ABSENT
        other = new[at] if at < len(new) else ABSENT
        if type(value) not in _PLAIN or type(value) is not type(other) or value != other:
            yield (*path, at), value, other


def _same_number(one: bytes, other: bytes) -> bool:
    try:
        return Decimal(one.decode()) == Decimal(other.decode())
    except ArithmeticError:  # an exponent beyond all bounds
        return False


# ------------------------------------------------------------- for people


def _difference(path: Path, kind: str, old: Any, new: Any) -> Difference:
    hidden = any(type(part) is str and is_secret(part) for part in path)
    one, other = (BLACK, BLACK) if hidden else (shown(old), shown(new))
    return Difference(place_of(path), pattern_of(path), kind, one, other)


_NAME: Final = re.compile(r"[A-Za-z_][\w-]*")
_LONG_KEY: Final = 60


def place_of(path: Path) -> str:
    """Return a path as it is written: ``$.items[3]["odd key"]``."""
    return "$" + "".join(_part(part) for part in path)


def pattern_of(path: Path) -> str:
    """Return a path that stands for all items of its arrays: ``$.items[*].price``."""
    return "$" + "".join("[*]" if type(part) is int else _part(part) for part in path)


def _part(part: str | int) -> str:
    if type(part) is int:
        return f"[{part}]"
    key = blacked_string(str(part)[:_MOST_LOOKED_AT])
    if len(key) > _LONG_KEY:
        key = f"{key[:_LONG_KEY]}..."
    return f".{key}" if _NAME.fullmatch(key) else f"[{json.dumps(key)}]"


def shown(value: Any) -> str:
    """Return a value in few characters: as it is written, or how much is in it."""
    if isinstance(value, dict):
        return f"{{{len(value)} key{'s' * (len(value) != 1)}}}"
    if isinstance(value, list):
        return f"[{len(value)} item{'s' * (len(value) != 1)}]"
    if isinstance(value, bytes):
        text = value.decode()
    else:
        text = "" if value is ABSENT else _quoted(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        value = blacked_string(value[:_MOST_LOOKED_AT])
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()  # half a pair cannot be printed
