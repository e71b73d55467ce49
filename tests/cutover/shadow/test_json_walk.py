"""Differences of JSON by structure."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.shadow.json_walk import (
    DEPTH,
    MOST_SEEN,
    MOST_TOLD,
    Difference,
    read_json,
    walk,
)


def differences(old: str, new: str) -> list[str]:
    """What differs, for people."""
    told, more = walk(read_json(old.encode()), read_json(new.encode()), lambda *_: False)
    assert not more
    return [f"{each.kind} {each}" for each in told]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('{"a": 1, "b": [2]}', '{"b": [2],   "a": 1}', []),
        ('{"a": 1}', '{"a": 2}', ["value $.a: 1 -> 2"]),
        ('{"a": null}', "{}", ["missing $.a: null -> nothing"]),
        ("{}", '{"a": null}', ["added $.a: nothing -> null"]),
        ('{"a": 1}', '{"a": "1"}', ['type $.a: 1 -> "1"']),
        ('{"a": true}', '{"a": 1}', ["type $.a: true -> 1"]),
        ('{"a": 0}', '{"a": false}', ["type $.a: 0 -> false"]),
        ('{"a": {}}', '{"a": []}', ["type $.a: {0 keys} -> [0 items]"]),
        ('{"a": [1, 2]}', '{"a": [1]}', ["missing $.a[1]: 2 -> nothing"]),
        ("[1]", "[1, {}]", ["added $[1]: nothing -> {0 keys}"]),
        ('{"odd key": 1}', '{"odd key": 2}', ['value $["odd key"]: 1 -> 2']),
        ('{"a": [{"b": 1}, {"b": 2}]}', '{"a": [{"b": 1}, {"b": 3}]}', ["value $.a[1].b: 2 -> 3"]),
        ('"a"', '"b"', ['value $: "a" -> "b"']),
    ],
)
def test_each_difference_has_its_path_and_kind(old: str, new: str, told: list[str]) -> None:
    """M11: JSON is compared by structure; each difference has its exact path, and a kind."""
    assert differences(old, new) == told


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("9.90", "9.9", "number"),
        ("1", "1.0", "number"),
        ("100", "1e2", "number"),
        ("9007199254740993", "9007199254740992", "value"),
        ("NaN", "1", "value"),
        ("1e99999999999999999999", "2e99999999999999999999", "value"),
        ("-0", "0", "number"),
    ],
)
def test_a_number_written_otherwise_is_a_kind_of_its_own(old: str, new: str, kind: str) -> None:
    """M11: numbers are compared as they are written; equal ones differ only in that."""
    assert differences(f'{{"n": {old}}}', f'{{"n": {new}}}') == [f"{kind} $.n: {old} -> {new}"]


def test_the_pattern_stands_for_all_items() -> None:
    """M11: a difference has a pattern, too, without indexes."""
    old, new = {"a": [{"b": [0, 1]}]}, {"a": [{"b": [0, 2]}]}
    ((difference,), _) = walk(old, new, lambda *_: False)
    assert difference == Difference("$.a[0].b[1]", "$.a[*].b[*]", "value", "1", "2")


def test_what_is_allowed_is_not_told() -> None:
    """M11: differences that may be are left out, and are asked for with path, kind and values."""
    asked: list[Any] = []

    def allowed(*difference: Any) -> bool:
        asked.append(difference)
        return difference[0] == ("a",)

    told, more = walk({"a": "1", "b": ["2"]}, {"a": "2", "b": ["3"]}, allowed)
    assert [each.place for each in told] == ["$.b[0]"]
    assert not more
    assert asked == [(("a",), "value", "1", "2"), (("b", 0), "value", "2", "3")]


def test_secrets_are_in_no_difference() -> None:
    """M12: values below keys named like passwords are not shown; long values are cut."""
    old, new = '{"user": {"password": "hunter2"}}', '{"user": {"password": "hunter3"}}'
    assert differences(old, new) == ["value $.user.password: *** -> ***"]
    (told,) = differences(json.dumps("x" * 1000), '"y"')
    assert len(told) < 150


def test_what_cannot_be_printed_is_escaped() -> None:
    """M12: half a surrogate pair in a key or value can be printed and encoded."""
    for told in differences('{"\\ud800": "\\udfff"}', '{"\\ud800": 1}'):
        assert told.encode()


def test_the_number_of_differences_is_bounded() -> None:
    """M11: a comparison tells so many differences, and looks at so many."""
    old, new = ["a"] * 20_000, ["b"] * 20_000
    told, more = walk(old, new, lambda *_: False)
    assert len(told) == MOST_TOLD
    assert more
    seen: list[int] = []
    told, more = walk(old, new, lambda *_: seen.append(1) is None)
    assert (told, more, len(seen)) == ([], True, MOST_SEEN)


def nested(depth: int, inside: str) -> str:
    """An array in arrays."""
    return "[" * depth + inside + "]" * depth


def test_hostile_nesting_raises_no_recursion_error() -> None:
    """M11: what is nested too deeply to be read is no JSON; what can be read is compared."""
    with pytest.raises(ValueError, match="too deeply"):
        read_json(b"[" * 300_000)
    (told,) = differences(nested(400, "1"), nested(400, "2"))
    assert told == f"value ${'[0]' * DEPTH}: [1 item] -> [1 item]"
    deep_old: Any = []
    deep_new: Any = []
    for _ in range(100_000):
        deep_old, deep_new = [deep_old], [deep_new]
    assert walk(deep_old, [deep_new], lambda *_: False)[0]
    while deep_old:  # else Python takes them apart by calls in calls
        deep_old, deep_new = deep_old[0], deep_new[0]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


@given(VALUES)
def test_a_value_equals_itself(value: Any) -> None:
    """M11: white space and the order of keys make no difference."""
    old = json.dumps(value, sort_keys=True)
    assert differences(old, json.dumps(value, indent=2)) == []


@given(VALUES, VALUES)
def test_a_comparison_is_symmetric(one: Any, other: Any) -> None:
    """M11: old against new has the same differences as new against old, turned round."""
    turned = {"missing": "added", "added": "missing"}
    old, new = read_json(json.dumps(one).encode()), read_json(json.dumps(other).encode())
    there, _ = walk(old, new, lambda *_: False)
    back, _ = walk(new, old, lambda *_: False)
    assert {(each.place, each.kind, each.old, each.new) for each in there} == {
        (each.place, turned.get(each.kind, each.kind), each.new, each.old) for each in back
    }
    assert bool(there) == (json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True))
