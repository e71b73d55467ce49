"""When a thread may be interrupted: what would be harmed by an exception where it stands (R2).

A lock that an exception leaves locked, a module that is half imported, a clean-up that is half done
would be worse than a request that lasts. So nothing is raised in these, from the innermost call on:

    NEVER   where a lock is taken or given back, or one may be taken next; within an import,
            logging, a finalizer; where Python 3.13 runs no ``finally`` or ``__exit__`` for it
    LATER   within ``finally`` or ``__exit__``, or where these may come next (`next_look.py`), and a
            wait of some seconds for a condition: these have some time to end first

Between the look and the moment at which the exception is set the thread must not go on. Python lets
another thread run between two of its instructions, but not within one call of a function in C. So
`raise_at` is one such call, of nothing but functions in C, and sees whether the thread stands where
it was judged to stand (`stack.py`).

``with lock:`` is safe in CPython if it is a lock of the standard library; since Python 3.14, where
it takes the lock by a call like any other, because that call is left alone. A lock that is taken by
a C extension, or by a method that is not called ``acquire``, is not known as one.
"""

from __future__ import annotations

import ctypes
import dis
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import compress
from types import CodeType, FrameType
from typing import Any, Final

from bridge.loops.frames import without_collection
from bridge.runners.timeouts.next_look import BAD, GOOD, HARM, LOOKS_ONCE, next_look
from bridge.runners.timeouts.stack import Stack

NEVER: Final = 0
LATER: Final = 1
NOW: Final = 2
#: By what comes next.
_MOMENTS: Final = {HARM: NEVER, BAD: LATER, GOOD: NOW}

#: Functions in which nothing is raised, and modules.
_LOCKING: Final = frozenset(
    {
        *("acquire", "release", "__enter__", "__exit__", "__del__"),
        *("_acquire_restore", "_release_save", "_is_owned", "notify", "notify_all"),
    }
)
_MODULES: Final = (
    *("bridge", "importlib", "logging", "asyncio", "concurrent", "_weakrefset"),
    "queue",  # what is taken from one, or is put there, would be lost
)
#: But for those that stand for calls of the standard library; locks are none of these.
_PATCHES: Final = "bridge.runners.patching"
_LOCKS: Final = "bridge.runners.patching.threads"
#: Methods that take a lock, or give it back, without underscores before their name.
_TAKE: Final = {"acquire", "acquire_lock", "acquire_restore"}
_GIVE_BACK: Final = {"release", "release_lock"}
#: Modules that import others, by what they call themselves.
_IMPORTING: Final = ("importlib._bootstrap", "_frozen_importlib")
#: Functions that clean up, whatever called them.
_CLEANING: Final = ("__exit__", "__aexit__")
#: Instructions before which nothing belongs to a call that comes after them.
_ENDS: Final = ("CALL", "STORE", "POP", "JUMP", "FOR")
#: Before Python 3.13 an error at such a jump counts as one at its target.
_JUMPS_FIRST: Final = sys.hexversion < 0x030D0000
#: Instructions of handlers that are no ``finally``.
_OTHER_HANDLERS: Final = {"CHECK_EXC_MATCH", "CHECK_EG_MATCH", "WITH_EXCEPT_START"}

_set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
_set_async_exc.argtypes = (ctypes.c_ulong, ctypes.py_object)
_set_async_exc.restype = ctypes.c_int
_NOTHING: Final = ctypes.py_object()  # NULL: takes back what is pending


def moment_at(stack: Stack | None, outermost: CodeType | None = None) -> int:
    """Return `NOW`, `LATER` or `NEVER` for a thread that stands at `stack`; None: it has ended.

    `outermost` is the code of the call with which the app's code begins.
    """
    if stack is None or not _may_raise_in(frame := stack.frames[0]):
        return NEVER
    moment = LATER if _waits_for_condition(frame) else NOW
    place = frame.f_code, stack.instructions[0]
    if (moment is NOW and _is_at_lock(*place)) or _would_escape(*place):
        return NEVER
    if moment is NOW and LOOKS_ONCE:
        moment = _MOMENTS[next_look(stack, outermost, _harm_at)]
    for each, instruction in zip(stack.frames, stack.instructions, strict=True):
        code = each.f_code
        if code is outermost:
            break
        if code.co_name == "__del__" or _module(each).startswith(_IMPORTING):
            return NEVER
        if code.co_name in _CLEANING or _is_in_finally(code, instruction):
            moment = LATER
    return moment


def _may_raise_in(frame: FrameType) -> bool:
    """Whether the innermost call is none of those that are left alone."""
    if frame.f_code.co_name in _LOCKING:
        return False
    module = _module(frame)
    if module.startswith(_PATCHES):
        return not module.startswith(_LOCKS)
    return module.partition(".")[0] not in _MODULES


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "")


def _waits_for_condition(frame: FrameType) -> bool:
    """Whether this is ``Condition.wait`` with a time limit; what it waits for may be lost."""
    is_wait = frame.f_code.co_name == "wait" and _module(frame) == "threading"
    return is_wait and frame.f_locals.get("timeout") is not None


def _is_at_lock(code: CodeType, instruction: int) -> bool:
    """Whether what is called there may take a lock, or give it back."""
    return not _called_at(code, instruction).isdisjoint(_TAKE | _GIVE_BACK)


def _harm_at(code: CodeType, instruction: int) -> int:
    """What an error would be that is raised there, once the call has been made.

    The lock that was taken would stay taken. One that is given back is free by then; if its methods
    are written in Python it may not be yet.
    """
    names = _called_at(code, instruction)
    if not names.isdisjoint(_TAKE):
        return HARM
    return GOOD if names.isdisjoint(_GIVE_BACK) else BAD


@lru_cache(256)
def _called_at(code: CodeType, instruction: int) -> frozenset[str]:
    """Return what is named in the expression that is called there, without underscores before it.

    From Python 3.14 on ``with`` calls ``__enter__`` by a plain call, before its block begins: that
    is one that may take a lock.
    """
    names: set[str] = set()
    for each in dis.get_instructions(code):
        if each.offset > instruction:
            break
        if each.offset < instruction and each.opname.startswith(_ENDS):
            names.clear()
        elif each.opname == "LOAD_SPECIAL" and each.argrepr == "__enter__":
            names.add("acquire")
        elif type(each.argval) is str:
            names.add(each.argval.strip("_"))
    return frozenset(names)


@lru_cache(256)
def _would_escape(code: CodeType, instruction: int) -> bool:
    """Whether this is in a loop from which an error leaves a block without its handlers.

    Python 3.13 puts the jump from the end of a ``while`` that goes back to the middle of a ``try``
    or ``with`` outside of that. And the exception may come one call or jump later than it is set.
    """
    if _JUMPS_FIRST:
        return False
    listing: Any = dis.Bytecode(code)
    entries = listing.exception_entries
    begins = {entry.target: entry.start for entry in reversed(entries)}
    for each in listing:
        if "JUMP_BACKWARD" in each.opname and each.argval <= instruction <= each.offset:
            before, after = (
                {entry.target for entry in entries if entry.start <= place < entry.end}
                for place in (each.offset, each.argval)
            )
            if any(begins[handler] != each.argval for handler in after - before):
                return True
    return False


@lru_cache(1024)
def _is_in_finally(code: CodeType, instruction: int) -> bool:
    """Whether an instruction is of a line in a ``finally`` block."""
    lines = (line for start, end, line in code.co_lines() if start <= instruction < end)
    return next(lines, None) in _lines_of_finally(code)


@lru_cache(1024)
def _lines_of_finally(code: CodeType) -> frozenset[int]:
    """Return the lines of all ``finally`` blocks of a function.

    Each is there twice, after the end and for an exception; the second one is found, as a handler.
    """
    listing: Any = dis.Bytecode(code)
    instructions = {each.offset: each for each in listing}
    handlers: dict[int, tuple[int, int]] = {}
    for each in listing.exception_entries:
        target = instructions.get(each.target)
        if each.lasti and target is not None and target.opname == "COPY":
            start, end = handlers.get(each.target, (each.start, each.end))
            handlers[each.target] = min(start, each.start), max(end, each.end)
    lines: set[int] = set()
    for start, end in handlers.values():
        inside = [instructions[at] for at in range(start, end, 2) if at in instructions]
        if _OTHER_HANDLERS.isdisjoint(each.opname for each in inside):
            lines.update(_lines(inside))
    return frozenset(lines)


def _lines(instructions: list[dis.Instruction]) -> Iterator[int]:
    for each in instructions:
        line = None if each.positions is None else each.positions.lineno
        if line is not None:
            yield line


def raise_at(ident: int, stack: Stack, error: type[Exception]) -> bool:
    """Raise `error` in the thread `ident`, if it stands at `stack`; whether it does.

    The thread raises it before the next instruction, or when the C call that it is in returns.
    """
    threads = compress((ident,), stack.is_still_so(ident))
    try:
        return without_collection(lambda: [*map(_set_async_exc, threads, (error,))]) == [1]
    except KeyError:  # it has ended
        return False


def take_back(ident: int) -> None:
    """Have the thread `ident` not raise what it has not raised yet."""
    _set_async_exc(ident, _NOTHING)
