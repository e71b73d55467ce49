"""Bounded memory: what is kept, for how long, and that it never grows beyond its bound."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge.caches import BoundedDict, Memo, always, key_up_to
from tests.support.remembered import is_remembered, tables


def counting(calls: list[str]) -> Callable[[str], str]:
    def compute(key: str) -> str:
        calls.append(key)
        if key == "bad":
            raise ValueError(key)
        return key.upper()

    return compute


def never(key: object, value: object) -> bool:
    return False


class TestBoundedDict:
    def test_it_starts_afresh(self) -> None:
        """A full table is emptied before the next key, so it never has more than its size."""
        table: BoundedDict[int, int] = BoundedDict(3)
        seen = []
        for number in range(7):
            table.store(number, -number)
            seen.append(dict(table))
        assert [len(each) for each in seen] == [1, 2, 3, 1, 2, 3, 1]
        assert seen[-1] == {6: -6}

    def test_all_of_a_process_can_be_found(self) -> None:
        """The tests that ask what is remembered see every table, also one of plain text."""
        table: BoundedDict[str, str] = BoundedDict(3)
        table.store("found by its key", "")
        assert any(each is table for each in tables())
        assert is_remembered("found by its " + "key")
        table.clear()
        assert not is_remembered("found by its " + "key")


class TestMemo:
    def test_worked_out_once(self) -> None:
        """A value is computed at the first subscript, and found from then on."""
        calls: list[str] = []
        memo = Memo(counting(calls), always)
        assert [memo["a"], memo["a"], memo["b"]] == ["A", "A", "B"]
        assert calls == ["a", "b"]
        assert memo.get("c") is None
        assert calls == ["a", "b"]

    def test_errors_are_not_kept(self) -> None:
        """What raises is asked again each time."""
        calls: list[str] = []
        memo = Memo(counting(calls), always)
        for _ in range(2):
            with pytest.raises(ValueError, match="bad"):
                memo["bad"]
        assert (calls, dict(memo)) == (["bad", "bad"], {})

    def test_what_is_not_worth_keeping(self) -> None:
        """What `cacheable` refuses is right, and computed each time."""
        calls: list[str] = []
        memo = Memo(counting(calls), lambda key, value: value == key.upper() and key != "b")
        for _ in range(2):
            assert (memo["a"], memo["b"]) == ("A", "B")
        assert (calls, dict(memo)) == (["a", "b", "b"], {"a": "A"})

    def test_bound(self) -> None:
        """However many keys come, only so many are kept, and each is still right."""
        memo = Memo(counting([]), always, 10)
        for number in range(35):
            assert memo[f"k{number}"] == f"K{number}"
            assert 0 < len(memo) <= 10


def test_long_keys() -> None:
    """Keys up to a length are kept, as text and as bytes."""
    short = key_up_to(3)
    assert [short(key, None) for key in ("", "abc", b"abc", "abcd", b"abcd")] == [
        True,
        True,
        True,
        False,
        False,
    ]
