"""Where all calls of a thread stood at one moment (R2).

While its place is judged a thread may go on, and come back to it in a loop: what is seen then is of
other places. So a judgement is of what was noted, and nothing is looked at twice.
`Stack.is_still_so` tells whether it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter, call, eq, is_, itemgetter
from types import FrameType
from typing import Final

from bridge.loops.frames import read_frames

_CALLER: Final = attrgetter("f_back")
_INSTRUCTION: Final = attrgetter("f_lasti")


class Stack:
    """The calls of a thread from `innermost` on, each with the instruction at which it stands."""

    __slots__ = ("callers", "frames", "instructions")

    def __init__(self, innermost: FrameType) -> None:
        frames, instructions = list[FrameType](), list[int]()
        each: FrameType | None = innermost
        while each is not None:
            frames.append(each)
            instructions.append(each.f_lasti)
            each = each.f_back
        self.frames: tuple[FrameType, ...] = tuple(frames)
        self.instructions: tuple[int, ...] = tuple(instructions)
        self.callers: tuple[FrameType | None, ...] = (*frames[1:], None)

    def is_still_so(self, ident: int) -> Iterator[bool]:
        """Yield once whether the thread `ident` stands there.

        It may have gone on and come back; that makes no difference. All is read by functions in C,
        when the value is asked for: no other thread runs meanwhile. Raises KeyError then if the
        thread has ended.
        """
        innermost = map(itemgetter(ident), map(call, (read_frames,)))
        return map(
            all,
            zip(
                map(is_, innermost, self.frames),
                map(all, (map(is_, map(_CALLER, self.frames), self.callers),)),
                map(all, (map(eq, map(_INSTRUCTION, self.frames), self.instructions),)),
                strict=False,
            ),
        )
