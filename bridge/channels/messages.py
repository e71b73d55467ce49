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
_KEYS: Final = "the keys of a message are str"
_VALUES: Final = "a message has None, bool, int, float, str, bytes, and lists and dicts of these"
_LEAST_INT: Final = -(2**63)
_MOST_INT: Final = 2**64 - 1


def copy_message(message: object, limit: int = MAX_MESSAGE_SIZE) -> Message:
    """Return a deep copy of `message`, which shares nothing that can change.

    Raises AssertionError for what is no dict, as asgiref's layers do; TypeError that names the
    place of a value that no layer can carry; `MessageTooLarge` if it has more than `limit` bytes.
    """
    return _Copier(limit).copy_dict(check_message(message))


def check_message(message: object) -> Message:
    """Return `message` if it is a dict; else AssertionError."""
    if not isinstance(message, dict):
        raise AssertionError(f"a message is a dict, not {message!r:.120}")
    return message


def copy_again(message: Message) -> Message:
    """Return a deep copy of what `copy_message` has returned."""
    return {key: _copy_known(value) for key, value in message.items()}


def _copy_known(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return copy_again(value)
    return [_copy_known(each) for each in value] if kind is list else value


class _Copier:
    """Copies one message, and adds up its size."""

    __slots__ = ("_left", "_limit", "_path")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit
        #: The keys and indexes of the value that is copied now.
        self._path: list[str | int] = []

    def copy_dict(self, value: dict[Any, Any]) -> dict[str, Any]:
        """Copy a dict. Raises as `copy_message` does."""
        self._charge(_OVERHEAD * len(value))
        copied: dict[str, Any] = {}
        path = self._path
        for key, each in value.items():
            path.append(key)
            name = key if type(key) is str else self._own_text(key, _KEYS)
            self._charge(_size_of_text(name))
            copied[name] = self._copy(each)
            path.pop()
        return copied

    def _copy_list(self, value: list[Any] | tuple[Any, ...]) -> list[Any]:
        self._charge(_OVERHEAD * len(value))
        copied = []
        path = self._path
        for index, each in enumerate(value):
            path.append(index)
            copied.append(self._copy(each))
            path.pop()
        return copied

    def _copy(self, value: Any) -> Any:
        kind = type(value)
        if kind is bytes:
            self._charge(len(value))
        elif kind is str:
            self._charge(_size_of_text(value))
        elif value is not None and kind is not bool and kind is not float:
            return self._copy_other(value)
        return value

    def _copy_other(self, value: Any) -> Any:
        """Copy ints and containers; and subclasses, which become what they derive from."""
        if isinstance(value, int):
            if not _LEAST_INT <= value <= _MOST_INT:
                raise TypeError(f"{self._place()} is {value!r:.60}, which does not fit in 64 bits")
            return int(value)
        if isinstance(value, (dict, list, tuple)):
            if len(self._path) > _DEEPEST:
                raise TypeError(
                    f"the message is nested deeper than {_DEEPEST} dicts and lists: "
                    f"{self._place():.120}"
                )
            return self.copy_dict(value) if isinstance(value, dict) else self._copy_list(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._copy(bytes(value))
        if isinstance(value, float):
            return float(value)
        return self._copy(self._own_text(value, _VALUES))

    def _own_text(self, value: object, allowed: str) -> str:
        """Return a subclass's text as a plain str; raises TypeError if it is no text."""
        if isinstance(value, str):
            return str.__str__(value)
        raise TypeError(f"{self._place()} cannot be sent: {value!r:.120}; {allowed}")

    def _place(self) -> str:
        return "the message" + "".join(f"[{each!r:.60}]" for each in self._path)

    def _charge(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise MessageTooLarge(
                f"the message has more than {self._limit} bytes, the most that this channel layer "
                "takes; send large data in pieces, or a reference to it"
            )


def _size_of_text(text: str) -> int:
    """Return the bytes that `text` has in UTF-8, half surrogates included."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
