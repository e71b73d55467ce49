"""Where a thread will raise what is set for it: not where it stands, but at its next look (R2).

Python looks for such an exception at calls, at jumps back, and when a function begins. A thread
stands mostly in one of these looks, since there it lets others run. Up to Python 3.12 it looks
again when it goes on. Since 3.13 it does not: it goes by what it has seen before, and raises the
exception at the next place. That may be in the ``finally`` or ``__exit__`` that gives back what the
``try`` or ``with`` has taken, at its very beginning, and nothing is given back.

So all ways from where a thread stands are followed to the first place at which it surely looks. On
each of them the same clean-ups must be waiting for an exception. (Handlers by ``except`` need not.)
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from types import CodeType
from typing import Any, Final

from bridge.runners.timeouts.stack import Stack

#: Whether it is so.
LOOKS_ONCE: Final = sys.hexversion >= 0x030D0000

#: What there is on the ways from a place, the worst first: something that must not be broken off;
#: the end of a clean-up; the end of the function, at least on one; or only what may be.
HARM: Final = 0
BAD: Final = 1
RETURNS: Final = 2
GOOD: Final = 3

#: Instructions with a look, after calls of C, and those that end a function or leave a generator.
_LOOKS: Final = ("CALL", "RESUME", "JUMP_BACKWARD")
_NO_LOOKS: Final = ("CALL_INTRINSIC", "JUMP_BACKWARD_NO_INTERRUPT")
_ENDS: Final = ("RETURN", "YIELD_VALUE")
_RAISES: Final = ("RAISE_VARARGS", "RERAISE")
_ALWAYS_JUMPS: Final = ("JUMP_FORWARD", "JUMP_BACKWARD_NO_INTERRUPT")
#: Instructions that call nothing; the compiler may leave them out of a block.
_HARMLESS: Final = {
    *("NOP", "POP_TOP", "LOAD_CONST", "LOAD_FAST", "STORE_FAST", "JUMP_FORWARD"),
    *("NOT_TAKEN", "LOAD_SMALL_INT", "LOAD_FAST_BORROW"),
}
#: What a handler begins with before it is clear that it is an ``except``.
_BEFORE_MATCH: Final = ("PUSH_EXC_INFO", "LOAD", "BUILD_TUPLE", "PUSH_NULL")
_MATCHES: Final = ("CHECK_EXC_MATCH", "CHECK_EG_MATCH")


def next_look(
    stack: Stack, outermost: CodeType | None, judge: Callable[[CodeType, int], int]
) -> int:
    """Return `GOOD` if all clean-ups that wait at `stack` still do at the thread's next look.

    If some do not: `BAD`. `judge` says what an error would be at an instruction: `HARM`, `BAD` or
    `GOOD`. `outermost` is the code of the call with which the app's code begins.
    """
    for frame, instruction in zip(stack.frames, stack.instructions, strict=True):
        if frame.f_code is outermost:
            break
        found = ways_from(frame.f_code, instruction, judge)
        if found is not RETURNS:
            return found
    return GOOD


@lru_cache(1024)
def ways_from(code: CodeType, instruction: int, judge: Callable[[CodeType, int], int]) -> int:
    """Return the worst that comes after the instruction at this offset, up to the next look."""
    listing: Any = dis.Bytecode(code)
    entries = listing.exception_entries
    instructions = {each.offset: each for each in listing}
    following = dict(pairwise(instructions))

    def clean_ups(offset: int) -> set[int]:
        return {
            each for each in _handlers(offset, entries) if _cleans_up(each, instructions, following)
        }

    needed = clean_ups(instruction)
    worst = GOOD
    ahead, seen = [*_next(instructions.get(instruction), following)], set[int]()
    while ahead:
        at = ahead.pop()
        if at in seen:
            continue
        seen.add(at)
        name = instructions[at].opname
        if name in _RAISES or (name not in _HARMLESS and not needed <= clean_ups(at)):
            worst = BAD
        if name.startswith(_ENDS):
            worst = min(worst, RETURNS)
        elif not name.startswith(_LOOKS) or name.startswith(_NO_LOOKS):
            ahead += () if name in _RAISES else _next(instructions[at], following)
        else:
            worst = min(worst, judge(code, at))
    return worst


def _next(instruction: Any, following: dict[int, int]) -> Iterator[int]:
    """Yield the offsets of what may come after an instruction."""
    if instruction is None:
        return
    if instruction.jump_target is not None:
        yield instruction.jump_target
    jumps = instruction.opname in _ALWAYS_JUMPS or instruction.opname == "JUMP_BACKWARD"
    if not jumps and instruction.offset in following:
        yield following[instruction.offset]


def _handlers(offset: int, entries: Any) -> set[int]:
    """Return where all handlers begin that wait there; the table has the innermost one of each."""
    found: set[int] = set()
    while True:
        target = next((each.target for each in entries if each.start <= offset < each.end), None)
        if target is None or target in found:
            return found
        found.add(target)
        offset = target


def _cleans_up(handler: int, instructions: dict[int, Any], following: dict[int, int]) -> bool:
    """Whether a handler is a ``finally``, a ``with``, or an ``except`` for everything."""
    if instructions[handler].opname != "PUSH_EXC_INFO":
        return False  # one that Python adds for itself
    at: int | None = handler
    while at is not None and instructions[at].opname.startswith(_BEFORE_MATCH):
        at = following.get(at)
    return at is None or instructions[at].opname not in _MATCHES
