"""JSON that was cut, made whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.shadow.cut_json import mended


@pytest.mark.parametrize(
    ("cut", "whole", "places"),
    [
        (
            '{"a": 1, "b": [2, {"c": 3, "d": 45',
            {"a": 1, "b": [2, {"c": 3}]},
            [(), ("b",), ("b", 1)],
        ),
        ('{"a": 1, "b', {"a": 1}, [()]),
        ('{"a": 1, "b"', {"a": 1}, [()]),
        ('{"a": 1, "b":', {"a": 1}, [()]),
        ('[1, "two", "th', [1, "two"], [()]),
        ("[1, 2,", [1, 2], [()]),
        ("[[1], [2", [[1], []], [(), (1,)]),
        ("{", {}, [()]),
        ('{"a\\"b": {"c": "x y z", ', {'a"b': {"c": "x y z"}}, [(), ('a"b',)]),
        ("[1]", [1], [()]),
    ],
)
def test_what_was_cut_is_closed_behind_its_last_whole_value(
    cut: str, whole: Any, places: list[Any]
) -> None:
    """M11: JSON that was cut is read up to its last whole value, and where it was cut is known."""
    data, found = mended(cut.encode())
    assert (json.loads(data), found) == (whole, frozenset(places))


@pytest.mark.parametrize("cut", ["", "12", '"tex', "no JSON", "[1] 2"])
def test_what_is_no_cut_array_or_object_is_no_json(cut: str) -> None:
    """M11: nothing that could be closed is there."""
    with pytest.raises(ValueError):
        json.loads(mended(cut.encode())[0])


def test_hostile_input_costs_little() -> None:
    """M11: deep nesting and long texts without an end are read in one go."""
    json.loads(mended(b"[" * 1_000_000)[0])
    assert mended(b'["' + b"\\a" * 500_000)[0] == b"[]"


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=10,
    ),
    st.data(),
)
def test_every_cut_can_be_read(value: Any, data: st.DataObject) -> None:
    """M11: wherever an array or object is cut, what is before can be read."""
    text = json.dumps([value]).encode()
    cut = data.draw(st.integers(1, len(text)))
    assert isinstance(json.loads(mended(text[:cut])[0]), list)
