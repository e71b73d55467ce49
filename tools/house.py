"""The figures of the house: how large its rooms and files are, and that each rule stands once.

Prints a line for each figure, with its limit if it has one, and what is above it; exits with 1 if
anything is. What import-linter cannot see (imports in strings, circles of all kinds) is looked at
here, too.
"""

from __future__ import annotations

import ast
import math
import re
import sys
import tokenize
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.modules import Module, classes, imports, over_bases, read
from tools.once import (
    Figure,
    files_that_write_http1,
    places_of_the_head,
    places_of_the_mount_rule,
    places_of_the_small_answer,
)

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "bridge"

MOST_FILES = 12
MOST_LINES = 399
MOST_LINES_OF_A_FUNCTION = 42
MOST_ATTRIBUTES = 20
MOST_METHODS = 25
#: The longest chain of imports in the server.
MOST_LAYERS = 14
#: *where* in prose, for each *if* and *when*: mostly it stands for one of them.
MOST_WHERE = 1 / 3

#: Tables with a row, and so an attribute, for each setting: no classes to be cut.
TABLES = {
    "bridge.server.config.app_settings.AppSettings",
    "bridge.server.config.config.Config",
    "bridge.server.config.limit_settings.LimitSettings",
    "bridge.server.config.process_settings.ProcessSettings",
}


def main() -> int:
    """Print the figures. Returns the exit code."""
    modules = read(SOURCES)
    failed = False
    for count in FIGURES:
        figure = count(modules)
        bad = bool(figure.above)
        failed |= bad
        mark = "TOO MUCH" if bad else "ok"
        limit = f" (at most {figure.most:.4g})" if figure.most < math.inf else ""
        print(f"{mark:8} {figure.name}: {figure.value:.4g}{limit}")
        for line in figure.above:
            print(f"           {line}")
    return 1 if failed else 0


def _worst(name: str, counts: dict[str, float], most: float) -> Figure:
    above = [f"{what}: {count:g}" for what, count in counts.items() if count > most]
    return Figure(name, max(counts.values(), default=0), most, above)


# ------------------------------------------------------------- sizes


def files_in_a_folder(modules: list[Module]) -> Figure:
    """How many source files stand in one folder."""
    counts: dict[str, float] = {}
    for module in modules:
        folder = str(Path(module.path).parent)
        counts[folder] = counts.get(folder, 0) + 1
    return _worst("files in one folder", counts, MOST_FILES)


def lines_of_a_file(modules: list[Module]) -> Figure:
    """How long a file is."""
    counts = {module.path: float(len(module.text.splitlines())) for module in modules}
    return _worst("lines of a file", counts, MOST_LINES)


def lines_of_a_function(modules: list[Module]) -> Figure:
    """How long a function is, its docstring included."""
    counts = {
        f"{module.path}:{node.lineno} {node.name}": float((node.end_lineno or 0) - node.lineno + 1)
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    return _worst("lines of a function", counts, MOST_LINES_OF_A_FUNCTION)


# ------------------------------------------------------------- classes, over all their bases


def attributes_of_a_class(modules: list[Module]) -> Figure:
    """How many attributes a class has, slots and those of its bases included, but no constants."""
    known = classes(modules)
    counts = {n: float(len(over_bases(n, known)[1])) for n in known if n not in TABLES}
    return _worst("attributes of a class over its bases", counts, MOST_ATTRIBUTES)


def methods_of_a_class(modules: list[Module]) -> Figure:
    """How many methods and properties a class has, those of its bases included."""
    known = classes(modules)
    counts = {n: float(len(over_bases(n, known)[0])) for n in known if n not in TABLES}
    return _worst("methods of a class over its bases", counts, MOST_METHODS)


# ------------------------------------------------------------- imports of all kinds


def circles(modules: list[Module]) -> Figure:
    """Modules that import each other, imports in functions and in strings included."""
    graph = {module.name: imports(module, {each.name for each in modules}) for module in modules}
    found = [" <-> ".join(sorted(circle)) for circle in _strongly_connected(graph)]
    return Figure("circles of imports", len(found), 0, found)


def _strongly_connected(graph: dict[str, set[str]]) -> list[set[str]]:
    reach = {name: _reachable(name, graph) for name in graph}
    circles: list[set[str]] = []
    for name in graph:
        circle = {other for other in reach[name] if name in reach[other]}
        if circle and circle not in circles:
            circles.append(circle)
    return circles


def _reachable(name: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    left = list(graph[name])
    while left:
        each = left.pop()
        if each not in seen:
            seen.add(each)
            left.extend(graph[each])
    return seen


# ------------------------------------------------------------- the layers of the server

SERVER = "bridge.server"


def layers() -> list[set[str]]:
    """The layers of the rooms of the server, from the top, as import-linter holds them."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = [
        contract["layers"]
        for contract in linter["contracts"]
        if contract.get("containers") == [SERVER]
    ]
    return [{room.strip() for room in layer.split("|")} for layer in layers]


def layers_of_the_server(modules: list[Module]) -> Figure:
    """How many layers the rooms of the server have."""
    return _worst(f"layers of {SERVER}", {SERVER: float(len(layers()))}, MOST_LAYERS)


def arrows_in_the_server(modules: list[Module]) -> Figure:
    """How many pairs of files of the server there are of which one imports the other."""
    return Figure(f"arrows between the files of {SERVER}", len(_arrows(modules)), math.inf, [])


def arrows_between_rooms(modules: list[Module]) -> Figure:
    """The same for its rooms."""
    rooms = {(_room(source), _room(target)) for source, target in _arrows(modules)}
    different = sum(source != target for source, target in rooms)
    return Figure(f"arrows between the rooms of {SERVER}", different, math.inf, [])


def arrows_up(modules: list[Module]) -> Figure:
    """Which imports go to a higher layer, or to a sibling on the same one."""
    layer = {room: number for number, rooms in enumerate(layers()) for room in rooms}
    found = []
    for source, target in _arrows(modules):
        from_room, to_room = _room(source), _room(target)
        if from_room != to_room and layer.get(from_room, math.inf) >= layer.get(to_room, -1):
            found.append(f"{source} -> {target}")
    return Figure(f"arrows of {SERVER} that do not point down", len(found), 0, found)


def _arrows(modules: list[Module]) -> list[tuple[str, str]]:
    ours = [module for module in modules if module.name.startswith(f"{SERVER}.")]
    names = {module.name for module in ours}
    return [(each.name, other) for each in ours for other in sorted(imports(each, names))]


def _room(name: str) -> str:
    return name.removeprefix(f"{SERVER}.").partition(".")[0]


# ------------------------------------------------------------- prose

_WORD = re.compile(r"[A-Za-z]+")


def where_for_if(modules: list[Module]) -> Figure:
    """How often *where* stands in docstrings and comments, for each *if* and *when*."""
    where = others = 0
    for module in modules:
        for word in _WORD.findall(" ".join(prose(module)).lower()):
            where += word == "where"
            others += word in ("if", "when")
    ratio = where / max(others, 1)
    above = [f"{where} x where, {others} x if and when"] if ratio > MOST_WHERE else []
    return Figure("where, for each if and when in prose", ratio, MOST_WHERE, above)


def prose(module: Module) -> Iterator[str]:
    """The docstrings and comments of a module."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text
    lines = iter(module.text.splitlines(keepends=True))
    for token in tokenize.generate_tokens(lambda: next(lines, "")):
        if token.type == tokenize.COMMENT:
            yield token.string


FIGURES: list[Callable[[list[Module]], Figure]] = [
    files_in_a_folder,
    lines_of_a_file,
    lines_of_a_function,
    attributes_of_a_class,
    methods_of_a_class,
    places_of_the_mount_rule,
    places_of_the_head,
    places_of_the_small_answer,
    files_that_write_http1,
    circles,
    layers_of_the_server,
    arrows_in_the_server,
    arrows_between_rooms,
    arrows_up,
    where_for_if,
]

if __name__ == "__main__":
    sys.exit(main())
