"""A second descriptor of what is open already, which nobody else can close (A40, W41).

A descriptor is a bare number. When its owner closes it, the system gives the same number to what
is opened next: another client's connection, say. So whoever uses one later, or in another thread,
takes a duplicate first, at a time when the original is certainly open.
"""

from __future__ import annotations

import os


class Duplicate:
    """A duplicate of `descriptor`, closed with this object at the latest. Raises `OSError`.

    It is made in the thread that the original belongs to. Exactly one caller of `take` or `close`
    gets it, from whatever threads they are called.
    """

    __slots__ = ("_owned",)

    def __init__(self, descriptor: int) -> None:
        self._owned: list[int] = []
        self._owned.append(os.dup(descriptor))

    def take(self) -> int | None:
        """The descriptor, which is the caller's to close from now on; None: it is gone."""
        try:
            return self._owned.pop()  # one step, so one winner
        except IndexError:
            return None

    def close(self) -> bool:
        """Close it; whether it was still here."""
        descriptor = self.take()
        if descriptor is None:
            return False
        os.close(descriptor)
        return True

    def __del__(self) -> None:
        self.close()
