"""What differs between a recorded talk and ours.

`RULES` are what no talk compares, each with its reason; a test shows that each is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tests.data.asgi1.talk import NOT_REACHED

Step = list[Any]
#: Place in the talk -> what is there in the recording, and here.
Differences = dict[str, tuple[Any, Any]]

#: What stands in place of something that is not there.
MISSING = "missing"
#: Keys that the specification lets a server leave out, and what is meant then.
DEFAULTS = {
    "root_path": "",
    "query_string": b"",
    "body_channel": None,
    "bytes": None,
    "text": None,
}


@dataclass(frozen=True)
class Rule:
    """What is left out of a comparison: `apply` changes what a step has told, in place."""

    why: str
    #: Gets the kind of the step, what it has told, and whether a reply was given before.
    apply: Callable[[str, dict[str, Any], bool], None]


def _fields_without_order(kind: str, told: dict[str, Any], replied: bool) -> None:
    for key in ("fields", "headers"):
        if key in told:
            told[key] = sorted(told[key], key=lambda field: field[0])


def _framing(kind: str, told: dict[str, Any], replied: bool) -> None:
    framing = told.pop("framing", None)
    as_long_as_body = told.get("length") in (None, len(told.get("body", b"")))
    if kind == "response" and framing != "none" and as_long_as_body:
        told.pop("length", None)


def _version(kind: str, told: dict[str, Any], replied: bool) -> None:
    told.pop("version", None)


def _reasons(kind: str, told: dict[str, Any], replied: bool) -> None:
    told.pop("reason", None)


def _pages(kind: str, told: dict[str, Any], replied: bool) -> None:
    if kind == "response" and not replied and told["status"] >= 400:
        for key in ("fields", "body", "length"):
            told.pop(key, None)


def _refusals(kind: str, told: dict[str, Any], replied: bool) -> None:
    if kind == "response" and told["status"] == 403:
        for key in ("fields", "body", "length"):
            told.pop(key, None)


def _defaults(kind: str, told: dict[str, Any], replied: bool) -> None:
    if kind in ("message", "afterwards"):
        for key, default in DEFAULTS.items():
            if key in told and told[key] == default:
                del told[key]
        if told.get("scheme") in ("http", "ws"):
            del told["scheme"]


def _upgrade(kind: str, told: dict[str, Any], replied: bool) -> None:
    if kind == "response" and told["status"] == 101:
        told["fields"] = [
            [name, value.lower() if name == b"upgrade" else value] for name, value in told["fields"]
        ]


RULES = {
    "order": Rule("fields of different names have no order (RFC 9110 §5.3)", _fields_without_order),
    "framing": Rule("a server frames a body as it likes (RFC 9112 §6)", _framing),
    "version": Rule("the version of a response is the server's (RFC 9110 §6.2)", _version),
    "reasons": Rule("reasons are for people (RFC 9110 §15.1, RFC 6455 §7.1.6)", _reasons),
    "pages": Rule("the page of an error that no reply has made is the server's own", _pages),
    "refusals": Rule("so is the page that tells of a refused handshake", _refusals),
    "defaults": Rule("a key with its default means the same as none (ASGI 1)", _defaults),
    "upgrade": Rule("the value of Upgrade has no case (RFC 9110 §7.8)", _upgrade),
}


def differences(
    recorded: list[Step], ours: list[Step], rules: Iterable[str] = RULES
) -> Differences:
    """What differs: place -> (recorded, ours). What one side has not come to is no difference."""
    rules = [*rules]
    found: Differences = {}
    told, here = _numbered(_in_order(recorded)), _numbered(_in_order(ours))
    for place in [*told, *(place for place in here if place not in told)]:
        pair = told.get(place), here.get(place)
        if not any(step and step[1][-1:] == [NOT_REACHED] for step in pair):
            found.update(_compared(place, *pair, rules))
    return found


def _in_order(steps: list[Step]) -> list[Step]:
    """Sort messages that follow each other by their request: between two of them is no order."""
    sorted_steps: list[Step] = []
    for kind, group in itertools.groupby(steps, key=lambda step: step[0]):
        steps_of_kind = [*group]
        sorted_steps += sorted(steps_of_kind, key=_request) if kind == "message" else steps_of_kind
    return sorted_steps


def _request(step: Step) -> str:
    return str(step[2]["reply_channel"]) if isinstance(step[-1], dict) else ""


_Told = tuple[str, Step, bool]


def _numbered(steps: list[Step]) -> dict[str, _Told]:
    """Place -> the kind of the step there, what it has told, and whether a reply came before."""
    places: dict[str, _Told] = {}
    replied = False
    for kind, *told in steps:
        replied = replied or kind == "reply"
        number = sum(1 for name in places if "cut off" not in name) + (kind != "cut off")
        places[f"{number} {kind}"] = (kind, told, replied)
    return places


def _compared(place: str, told: _Told | None, here: _Told | None, rules: list[str]) -> Differences:
    sides = [_content(side, rules) for side in (told, here)]
    if not all(isinstance(side, dict) for side in sides):
        if sides[0] == sides[1]:
            return {}
        theirs, ours = map(_in_short, sides)
        return {place: (theirs, ours)}
    theirs, ours = sides
    if theirs.get("channel") != ours.get("channel"):
        return {place: (theirs["channel"], ours["channel"])}
    return {
        f"{place}: {key}": (theirs.get(key, MISSING), ours.get(key, MISSING))
        for key in [*theirs, *(key for key in ours if key not in theirs)]
        if theirs.get(key, MISSING) != ours.get(key, MISSING)
    }


def _content(side: _Told | None, rules: list[str]) -> Any:
    """What a step has told, as the rules leave it: a dict if it is what the step expects."""
    if side is None:
        return MISSING
    kind, told, replied = side
    if not told or not isinstance(told[-1], dict) or kind in ("reply", "client frame"):
        return told
    content = dict(told[-1])
    for name in rules:
        RULES[name].apply(kind, content, replied)
    if len(told) == 2:
        content["channel"] = told[0]
    return content


def _in_short(side: Any) -> Any:
    """What there is in place of something else, in a word."""
    if isinstance(side, dict):
        name = side.get("channel") or side.get("status") or side["opcode"]
        return f"close {side['code']}" if name == "close" else name
    return side[0] if isinstance(side, list) and len(side) == 1 else side
