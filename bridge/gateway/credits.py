"""Credits: how many bytes of a session may be under way in one direction (rule L9).

The writer begins with a window of bytes. It pays for what it writes, and waits when nothing is
left; the reader gives credit for what its own side has taken. So a reader that is slow slows the
writer, however far away, and no more than a window waits anywhere.
"""

from __future__ import annotations

from typing import Final

from bridge.limits import HIGH_WATER
from bridge.types import Message

#: Bytes that may be under way in one direction, at first.
WINDOW: Final = HIGH_WATER
#: What a message counts beside its data, so that many small ones cannot pile up either.
_EACH: Final = 64


def weight(message: Message) -> int:
    """Return what a message costs: both sides must count the same."""
    data = message.get("body") or message.get("bytes") or message.get("text") or b""
    return len(data) + _EACH if isinstance(data, (bytes, str)) else _EACH


class Sending:
    """The writer's side."""

    __slots__ = ("left",)

    def __init__(self, window: int = WINDOW) -> None:
        #: Bytes that may still be written. Below 0 after a message that was larger than that.
        self.left = window

    @property
    def open(self) -> bool:
        """Whether something may be written now; of any size, so that large messages get through."""
        return self.left > 0

    def pay(self, size: int) -> None:
        """Count `size` bytes that were written."""
        self.left -= size

    def grant(self, size: int) -> None:
        """Count `size` bytes that the reader has taken."""
        self.left += size


class Receiving:
    """The reader's side."""

    __slots__ = ("_owed", "_threshold")

    def __init__(self, window: int = WINDOW) -> None:
        self._owed = 0
        self._threshold = window // 4

    def taken(self, size: int) -> int:
        """Count `size` bytes that were taken; return the credit to send now, 0 for none yet."""
        self._owed += size
        if self._owed < self._threshold:
            return 0
        owed, self._owed = self._owed, 0
        return owed
