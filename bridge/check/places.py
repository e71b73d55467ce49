"""Where in the app's own code something is: the place of a call, an error, a name or a function."""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, Final

from bridge.loops.watchdog.stack import Place, is_own

#: The toolkit itself is never the app.
_TOOLKIT: Final = os.path.join(Path(__file__).parents[1], "")
_MOST_FRAMES: Final = 1000


def is_app_file(file: str) -> bool:
    """Whether a file is the app's own code: no library, and not this toolkit."""
    return not file.startswith((_TOOLKIT, "<")) and is_own(file)


# ------------------------------------------------------------- what runs


def place_of_frame(frame: FrameType | None) -> Place | None:
    """Return the innermost place in the app's own code of a stack; a library's if there is none."""
    first: Place | None = None
    for _ in range(_MOST_FRAMES):
        if frame is None:
            break
        place = _place(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname)
        if is_app_file(place.file):
            return place
        if first is None and not place.file.startswith((_TOOLKIT, "<")):
            first = place
        frame = frame.f_back
    return first


def own_place_of_frame(frame: FrameType | None) -> Place | None:
    """Return the innermost place in the app's own code of a stack; None if there is none."""
    place = place_of_frame(frame)
    return place if place is not None and is_app_file(place.file) else None


def place_of_error(error: BaseException) -> Place | None:
    """Return the last place in the app's own code that an error has passed."""
    places = [
        _place(frame.f_code.co_filename, line, frame.f_code.co_qualname)
        for frame, line in _steps(error.__traceback__)
    ]
    own = [each for each in places if is_app_file(each.file)]
    return own[-1] if own else None


def _steps(traceback: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next


def _place(file: str, line: int | None, function: str) -> Place:
    return Place(file, line or 0, "" if function == "<module>" else function)


def shown(place: Place) -> str:
    """Return a place as an editor takes it: ``shop.py:12``, from here if it is below."""
    path = Path(place.file)
    file = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{file}:{place.line}" + (f" in {place.function}" if place.function else "")


# ------------------------------------------------------------- what is defined


def place_of(thing: Any) -> Place | None:
    """Return where a function or a class stands; of another object, where its class does."""
    function = inspect.unwrap(thing) if inspect.isfunction(thing) else thing
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is not None:
        return Place(code.co_filename, code.co_firstlineno, code.co_qualname)
    kind = thing if inspect.isclass(thing) else type(thing)
    try:
        return Place(inspect.getsourcefile(kind) or "", inspect.getsourcelines(kind)[1] or 1, "")
    except (OSError, TypeError):
        return None


@lru_cache(256)
def tree_of(file: str) -> ast.Module | None:
    """Return the syntax tree of a source file; None if it cannot be read."""
    try:
        return ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def place_of_name(module: ModuleType, name: str) -> Place | None:
    """Return where `module` gives a value to `name`, at its top level or in a class."""
    file = getattr(module, "__file__", None) or ""
    tree = tree_of(file)
    for node in ast.walk(tree) if tree is not None else ():
        targets = _targets(node)
        if any(isinstance(each, ast.Name) and each.id == name for each in targets):
            return Place(file, getattr(node, "lineno", 0), "")
    return Place(file, 1, "") if file else None


def _targets(node: ast.AST) -> Iterable[ast.AST]:
    if isinstance(node, ast.Assign):
        return node.targets
    return (node.target,) if isinstance(node, ast.AnnAssign) else ()


def app_modules(known: Iterable[str] = ()) -> list[ModuleType]:
    """List the loaded modules of the app's own code, without those that were `known` before."""
    before = frozenset(known)
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name not in before and isinstance(file, str) and is_app_file(file):
            found.append(module)
    return found
