"""Which channels are in which groups, in one process (rule L6). Not for two threads at once."""

from __future__ import annotations

from collections.abc import Iterable


class Groups:
    """Groups of channels. A membership ends `expiry` seconds after it was last asked for."""

    def __init__(self, expiry: float) -> None:
        self._expiry = expiry
        #: group -> channel -> when its membership ends, in this order.
        self._members: dict[str, dict[str, float]] = {}
        #: channel -> its groups.
        self._groups: dict[str, set[str]] = {}
        self._next_sweep = 0.0

    def __bool__(self) -> bool:
        """Whether there is a membership."""
        return bool(self._groups)

    def add(self, group: str, channel: str, now: float) -> None:
        """Add `channel` to `group`, or have its membership begin anew."""
        if now >= self._next_sweep:
            self._drop_expired(now)
        members = self._members.setdefault(group, {})
        members.pop(channel, None)  # the new one stands at the end
        members[channel] = now + self._expiry
        self._groups.setdefault(channel, set()).add(group)

    def discard(self, group: str, channel: str) -> None:
        """Take `channel` out of `group`, if it is in there."""
        members = self._members.get(group)
        if members is None or members.pop(channel, None) is None:
            return
        if not members:
            del self._members[group]
        groups = self._groups[channel]
        groups.remove(group)
        if not groups:
            del self._groups[channel]

    def forget(self, channels: Iterable[str]) -> None:
        """Take these channels out of all groups."""
        for channel in channels:
            for group in [*self._groups.get(channel, ())]:
                self.discard(group, channel)

    def members(self, group: str, now: float) -> list[str]:
        """Return the channels that are in `group` at this moment."""
        self._drop_expired_of(group, now)
        return [*self._members.get(group, ())]

    def clear(self) -> None:
        """Forget all groups."""
        self._members.clear()
        self._groups.clear()

    def _drop_expired(self, now: float) -> None:
        """Drop what has ended in groups that nobody asks for; now and then."""
        self._next_sweep = now + max(self._expiry / 8, 1.0)
        for group in [*self._members]:
            self._drop_expired_of(group, now)

    def _drop_expired_of(self, group: str, now: float) -> None:
        ended = []
        for channel, ends in self._members.get(group, {}).items():
            if ends > now:
                break
            ended.append(channel)
        for channel in ended:
            self.discard(group, channel)
