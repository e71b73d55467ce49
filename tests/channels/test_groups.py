"""Which channels are in which groups."""

from __future__ import annotations

from bridge.channels.groups import Groups


def test_members() -> None:
    """L6: a channel is in a group once, from `add` to `discard`."""
    groups = Groups(60)
    assert not groups
    for channel in ("a", "b", "a", "c"):
        groups.add("g", channel, 0)
    assert groups
    assert sorted(groups.members("g", 1)) == ["a", "b", "c"]
    groups.discard("g", "b")
    groups.discard("g", "b")
    groups.discard("none", "b")
    assert sorted(groups.members("g", 1)) == ["a", "c"]
    groups.discard("g", "a")
    groups.discard("g", "c")
    assert groups.members("g", 1) == groups.members("none", 1) == []
    assert not groups
    assert is_empty(groups)


def test_a_membership_ends() -> None:
    """L6: it lasts as long as the group's expiry after the latest `add`."""
    groups = Groups(60)
    groups.add("g", "a", 0)
    groups.add("g", "b", 10)
    groups.add("g", "a", 20)
    assert sorted(groups.members("g", 69)) == ["a", "b"]
    assert groups.members("g", 70) == ["a"]
    assert groups.members("g", 80) == []
    assert is_empty(groups)


def test_a_channel_is_forgotten_everywhere() -> None:
    """L6: a channel that nobody reads any more leaves all its groups."""
    groups = Groups(60)
    for group in ("g", "h"):
        groups.add(group, "a", 0)
        groups.add(group, "b", 0)
    groups.forget(["a", "none"])
    assert groups.members("g", 1) == groups.members("h", 1) == ["b"]
    groups.forget(["b"])
    assert is_empty(groups)


def test_groups_that_nobody_asks_for_are_dropped() -> None:
    """L6: memory does not grow with groups that are never sent to."""
    groups = Groups(8)
    for second in range(100):
        groups.add(f"g{second}", f"a{second}", second)
    assert len(groups._members) <= 10
    assert len(groups._groups) <= 10
    groups.clear()
    assert is_empty(groups)


def is_empty(groups: Groups) -> bool:
    return not groups._members and not groups._groups
