"""What a message on a channel may be made of, and its copy (ASGI 1, "Messages"; rule L6).

A message is a dict with text keys; its values are None, bool, int of 64 bits, float, str, bytes,
and lists and dicts of these. Tuples become lists. Every layer takes the same: what works in the
process works over Redis too.
"""

from __future__ import annotations

from typing import Any, Final

from bridge.errors import MessageTooLarge
from bridge.types import Message

#: The most bytes of text and bytes in a message, by default. ASGI 1 asks for one MB at least.
MAX_MESSAGE_SIZE: Final = 4 * 1024 * 1024

#: What a value costs beside its text or bytes.
_OVERHEAD: Final = 8
#: The most dicts and lists, one inside another.
_DEEPEST: Final = 32

#: What fits in 64 bits, with or without a sign.
_LEAST, _MOST = -(2**63), 2**64 - 1


def copy_message(message: object, limit: int = MAX_MESSAGE_SIZE) -> Message:
    """Return a deep copy of `message`, which shares nothing that can change.

    Raises AssertionError for what is no dict, as asgiref's layers do; TypeError that names the
    place of a value that no layer can carry; `MessageTooLarge` if it has more than `limit` bytes.
    """
    assert isinstance(message, dict), f"a message is a dict, not {message!r:.120}"
    copier = _Copier(limit)
    copied: Message = copier.dict(message, "the message", 0)
    return copied


class _Copier:
    """Copies one message, and adds up its size."""

    __slots__ = ("_left", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit

    def dict(self, value: dict[Any, Any], place: str, depth: int) -> dict[str, Any]:
        copied = {}
        for key, each in value.items():
            if type(key) is not str:
                if not isinstance(key, str):
                    raise TypeError(f"{place} has the key {key!r:.120}; keys are str")
                key = str(key)
            self._count(len(key))
            copied[key] = self._copy(each, f"{place}[{key!r}]", depth + 1)
        return copied

    def _copy(self, value: Any, place: str, depth: int) -> Any:
        kind = type(value)
        if kind is str or kind is bytes:
            self._count(len(value))
            return value
        if value is None or kind is bool or kind is float:
            self._count(0)
            return value
        if depth > _DEEPEST:
            raise TypeError(f"{place} is nested deeper than {_DEEPEST} dicts and lists")
        return self._copy_other(value, place, depth)

    def _copy_other(self, value: Any, place: str, depth: int) -> Any:
        """Copy containers, and subclasses, which become what they derive from."""
        if isinstance(value, int):
            if not _LEAST <= value <= _MOST:
                raise TypeError(f"{place} is {value!r:.60}, which does not fit in 64 bits")
            self._count(0)
            return int(value)
        if isinstance(value, dict):
            return self.dict(value, place, depth)
        if isinstance(value, (list, tuple)):
            self._count(0)
            return [self._copy(each, f"{place}[{n}]", depth + 1) for n, each in enumerate(value)]
        if isinstance(value, (str, float)):
            return self._copy(str(value) if isinstance(value, str) else float(value), place, depth)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._copy(bytes(value), place, depth)
        raise TypeError(
            f"{place} is {value!r:.120}; a message has None, bool, int, float, str, bytes, and "
            "lists and dicts of these"
        )

    def _count(self, size: int) -> None:
        self._left -= size + _OVERHEAD
        if self._left < 0:
            raise MessageTooLarge(
                f"the message has more than {self._limit} bytes, the most that this channel layer "
                "takes; send large data in pieces, or a reference to it"
            )
