"""JSON that was cut somewhere, made whole again up to its last complete value (M11). Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from bridge.cutover.shadow.json_walk import Path

_TOKEN: Final = re.compile(
    rb"\s*(?:(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|(?P<colon>:)"
    rb'|(?P<text>"(?:[^"\\]++|\\.)*+")|(?P<word>[^\s"\[\]{},:]+))',
    re.DOTALL,
)
#: The deepest that is followed.
_DEPTH: Final = 500


def _tokens(data: bytes) -> Iterator[re.Match[bytes]]:
    """Yield what is whole, up to the first thing that is not."""
    at = 0
    while token := _TOKEN.match(data, at):
        yield token
        at = token.end()


class _Open:
    """An array or object whose end is not there: its key above it, and what came last in it."""

    __slots__ = ("at", "is_list", "key")

    def __init__(self, is_list: bool) -> None:
        self.is_list = is_list
        self.at = 0
        self.key: bytes | None = None

    def place(self) -> str | int:
        """Return the key or index of the value that is not complete."""
        return self.at if self.is_list else str(json.loads(self.key or b'""'))


def mended(data: bytes) -> tuple[bytes, frozenset[Path]]:
    """Return the JSON that `data` begins with, closed, and the paths of what was closed.

    A value that may go on, such as a number at the very end, is left out. Raises `ValueError` if
    nothing is there to be closed.
    """
    opened: list[_Open] = []
    end, still_open = 0, 0  # after the last complete value, and what was open there
    for token in _tokens(data):
        kind = token.lastgroup
        inner = opened[-1] if opened else None
        if kind == "open":
            if len(opened) == _DEPTH:
                break
            opened.append(_Open(token["open"] == b"["))
            end, still_open = token.end(), len(opened)
        elif inner is None:
            raise ValueError("no array or object was cut")
        elif kind == "close":
            opened.pop()
            end, still_open = token.end(), len(opened)
        elif kind == "comma":
            inner.at += 1
            inner.key = None
        elif kind == "text" and not inner.is_list and inner.key is None:
            inner.key = token["text"]
        elif kind in ("text", "word") and token.end() < len(data):
            end, still_open = token.end(), len(opened)
    closing = b"".join(b"]" if each.is_list else b"}" for each in reversed(opened[:still_open]))
    paths: list[Path] = [()]
    for each in opened[: still_open - 1]:
        paths.append((*paths[-1], each.place()))
    return data[:end] + closing, frozenset(paths)
