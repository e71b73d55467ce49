"""Names of channels and groups."""

from __future__ import annotations

import pytest

from bridge.channels import names

GOOD = ["a", "http.request", "A-z_0.9", "9", "x" * 99, "http.request.body?aB3", "http.response.x!7"]
BAD = [
    "",
    "a b",
    "a/b",
    "ä",
    "a\n",
    "?a",
    "!a",
    "a?b?c",
    "a!b!c",
    "a?b!c",
    "a!b?c",
    "x" * 100,
    "a٣",
    b"a",
    None,
    7,
]


@pytest.mark.parametrize("name", GOOD)
def test_can_be_sent_to(name: str) -> None:
    """L6: letters, digits, hyphens, underscores and periods, with one mark, at most 99."""
    assert names.check_channel(name) == name


@pytest.mark.parametrize("name", BAD)
def test_is_no_name(name: object) -> None:
    """L6: everything else is a TypeError that shows it, wherever a name is given."""
    for check in (names.check_channel, names.check_readable, names.check_group, names.check_queue):
        with pytest.raises(TypeError, match=r"name of a (channel|group) is") as raised:
            check(name)
        assert repr(name)[:100] in str(raised.value)


@pytest.mark.parametrize("name", ["a!", "a?"])
def test_nobody_is_behind_a_mark_at_the_end(name: str) -> None:
    """L6: a message needs a whole name."""
    with pytest.raises(TypeError, match=r"has no name after its [?!]"):
        names.check_channel(name)


def test_can_be_read() -> None:
    """L6: all channels of a process are read at once, by the beginning of their names."""
    for name in ("a", "a?b", "a!"):
        assert names.check_readable(name) == name
    with pytest.raises(TypeError, match=r"cannot be read alone: receive 'a!'"):
        names.check_readable("a!b")
    with pytest.raises(TypeError, match=r"no name after its \?"):
        names.check_readable("a?")


def test_groups_have_no_marks() -> None:
    """L6: a group's name is a plain one."""
    assert names.check_group("news-1.x_y") == "news-1.x_y"
    for name in ("a?b", "a!b", "a!"):
        with pytest.raises(TypeError, match="name of a group"):
            names.check_group(name)


def test_patterns() -> None:
    """L6: a new channel is a single-reader one, and its whole name is not too long."""
    assert names.check_pattern("test.foo?") == "test.foo?"
    for pattern in ("test.foo", "test!", "test?x", "", None, b"a?"):
        with pytest.raises(TypeError, match=r"must be a name that ends with \?"):
            names.check_pattern(pattern)
    with pytest.raises(TypeError, match="name of a channel pattern"):
        names.check_pattern("a b?")
    longest = "x" * 82 + "?"
    assert len(names.check_pattern(longest)) + names.RANDOM_LENGTH == 99
    with pytest.raises(TypeError, match="has 84 characters, and may have 83"):
        names.check_pattern("x" + longest)


def test_body_channels() -> None:
    """L6: the channel of a body is a single-reader one."""
    assert names.check_body_channel("http.request.body?a") == "http.request.body?a"
    for name in ("a", "a!b"):
        with pytest.raises(TypeError, match=r"must be a single-reader one, with a \?"):
            names.check_body_channel(name)


def test_queues_and_kinds() -> None:
    """L6: the channels of a process are one queue; single-reader channels are counted together."""
    queues = {"a": "a", "a?b": "a?b", "a!b": "a!", "a!": "a!"}
    assert {name: names.check_queue(name) for name in queues} == queues
    assert {name: names.queue_of(name) for name in queues} == queues
    assert [names.kind_of(name) for name in ("a", "a?b", "a!")] == ["a", "a?", "a!"]
