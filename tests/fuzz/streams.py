"""Streams of requests, good and bad, each made of two numbers: a seed and its place in the run.

Requests of many kinds are put behind one another and then changed, in whole lines and in single
bytes. The same numbers give the same bytes on each machine and each Python, so a number says which
stream has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tests.fuzz.kinds import ACTED_ON, BYTES, GREETINGS, KINDS, ODD_LINES, VALUES, Draw

#: What may stand at the end of a line, instead of CR LF or before it.
ENDS: Final = (
    *(b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b" \r\n", b"\r\n ", b"\r\n\t", b"", b"\x00"),
)


def _place(draw: Draw, data: bytes) -> int:
    """A place in `data`, mostly behind its first line."""
    start = data.find(b"\r\n") + 2 if draw.chance() < 0.8 else 0
    return min(start + draw.below(len(data) - start), len(data) - 1)


def _line(draw: Draw, lines: list[bytes]) -> int:
    """One of the lines, mostly not the first."""
    return min(draw.below(len(lines) - 1) + 1, len(lines) - 1) if draw.chance() < 0.85 else 0


def _flip(draw: Draw, data: bytes) -> bytes:
    at = _place(draw, data)
    return data[:at] + bytes([data[at] ^ 1 << draw.below(8)]) + data[at + 1 :]


def _replace(draw: Draw, data: bytes) -> bytes:
    at = _place(draw, data)
    return data[:at] + bytes([draw.one(BYTES)]) + data[at + 1 :]


def _insert(draw: Draw, data: bytes) -> bytes:
    at = _place(draw, data)
    return data[:at] + bytes([draw.one(BYTES)]) * (1 + draw.below(2)) + data[at:]


def _delete(draw: Draw, data: bytes) -> bytes:
    at = _place(draw, data)
    return data[:at] + data[at + 1 + draw.below(4) :]


def _repeat(draw: Draw, data: bytes) -> bytes:
    at = _place(draw, data)
    end = at + 1 + draw.below(12)
    return data[:end] + data[at:end] + data[end:]


def _cut(draw: Draw, data: bytes) -> bytes:
    return data[: draw.below(len(data))]


def _splice(draw: Draw, data: bytes) -> bytes:
    other = draw.one(KINDS)(draw)
    return data[: _place(draw, data)] + other[_place(draw, other) :]


def _end_of_a_line(draw: Draw, data: bytes) -> bytes:
    lines = data.split(b"\r\n")
    at = _line(draw, lines)
    return b"\r\n".join(lines[: at + 1]) + draw.one(ENDS) + b"\r\n".join(lines[at + 1 :])


def _lines(draw: Draw, data: bytes) -> bytes:
    """Twice, away, in another order, or with a new one."""
    lines = data.split(b"\r\n")
    at, to, kind = _line(draw, lines), _line(draw, lines), draw.below(6)
    if kind == 0:
        lines.insert(to, lines[at])
    elif kind == 1:
        lines.insert(to, lines[at].swapcase())
    elif kind == 2 and len(lines) > 1:
        del lines[at]
    elif kind == 3:
        lines[at], lines[to] = lines[to], lines[at]
    elif kind == 4:
        lines.insert(to, draw.one(ODD_LINES))
    else:
        lines.insert(to, draw.one(ACTED_ON) + b": " + draw.one(VALUES))
    return b"\r\n".join(lines)


def _ending_of_a_line(draw: Draw, data: bytes) -> bytes:
    """Blanks, a control, or another byte at the end of a line or around its colon."""
    lines = data.split(b"\r\n")
    at = _line(draw, lines)
    noise = bytes([draw.one(b" \t\x00\x0b\x0c\r\n\x7f\xff:,")]) * (1 + draw.below(2))
    kind = draw.below(4)
    if kind == 0:
        lines[at] += noise
    elif kind == 1:
        lines[at] = noise + lines[at]
    else:
        name, colon, value = lines[at].partition(b":")
        lines[at] = name + noise + colon + value if kind == 2 else name + colon + noise + value
    return b"\r\n".join(lines)


_CHANGES: Final[tuple[Callable[[Draw, bytes], bytes], ...]] = (
    *(_flip, _replace, _replace, _insert, _insert, _delete, _repeat, _cut, _splice),
    *(_lines, _lines, _lines, _end_of_a_line, _ending_of_a_line, _ending_of_a_line),
)


def make(draw: Draw) -> bytes:
    """A stream of 1 to 4 requests, a third of them as they were made, the others changed."""
    data = draw.one(KINDS)(draw)
    more = draw.chance()
    if more < 0.35:
        data += (b"", b"\r\n", b"", b"\r\n\r\n")[draw.below(4)] if more < 0.1 else b""
        data += data if more > 0.3 else draw.one(KINDS)(draw)
        if more < 0.1:
            data += draw.one(KINDS)(draw)
    changes = (0, 0, 0, 1, 1, 1, 1, 2, 2, 3)[draw.below(10)]
    for _ in range(changes):
        if data:
            data = draw.one(_CHANGES)(draw, data)
    if changes and draw.chance() < 0.3:
        data += GREETINGS[0]  # seen only if nothing was refused before
    return data


def pieces(draw: Draw, data: bytes) -> Iterator[bytes]:
    """`data` cut at random places."""
    at = 0
    while at < len(data):
        size = 1 + draw.below(40)
        yield data[at : at + size]
        at += size
