"""Names of channels and groups."""

from __future__ import annotations

import pytest

from bridge.channels import names


@pytest.mark.parametrize("name", ["a", "http.request", "a-b_c.9", "reply!x", "body?Zz9", "x" * 99])
def test_channel_names(name: str) -> None:
    """L6: names of letters, digits, hyphens, underscores and periods, with one ! or ? between."""
    assert names.check_channel(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "a b", "ä", "a!b!c", "a?b!c", "a!", "a?", "!a", "x" * 100, "a\n", b"a", None, 3],
)
def test_bad_channel_names(name: object) -> None:
    """L6: any other name is a TypeError that says what was seen."""
    with pytest.raises(TypeError, match="channel"):
        names.check_channel(name)


def test_names_to_read() -> None:
    """L6: a process's channels are read together, by their beginning."""
    assert names.check_readable("a!") == "a!"
    assert names.check_readable("a?b") == "a?b"
    with pytest.raises(TypeError, match="receive 'a!'"):
        names.check_readable("a!b")
    with pytest.raises(TypeError, match="no name after"):
        names.check_readable("a?")


def test_group_names() -> None:
    """L6: a group's name has no mark in it."""
    assert names.check_group("chat.1") == "chat.1"
    for wrong in ("a!b", "a?b", "", "x" * 100):
        with pytest.raises(TypeError, match="group"):
            names.check_group(wrong)


def test_patterns_and_queues() -> None:
    """L6: a new channel's pattern ends with ?; a queue's name ends with the !."""
    assert names.check_pattern("a?") == "a?"
    for wrong in ("a", "a!", "?", 3):
        with pytest.raises(TypeError, match="pattern"):
            names.check_pattern(wrong)
    assert names.queue_of("a!b") == "a!"
    assert names.queue_of("a?b") == "a?b"
