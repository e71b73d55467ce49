"""The figures of the house: how large its rooms and files are, and that each rule stands once.

Prints a line for each figure, with its limit, and what is above it; exits with 1 if anything is.
What import-linter cannot see (imports in strings, circles of all kinds) is looked at here, too.
"""

from __future__ import annotations

import ast
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "bridge"

MOST_FILES = 12
MOST_LINES = 399
MOST_LINES_OF_A_FUNCTION = 49
MOST_ATTRIBUTES = 20
MOST_METHODS = 25
#: *where* in prose, for each *if* and *when*: mostly it stands for one of them.
MOST_WHERE = 1 / 3

#: The settings are tables with a row, and so an attribute, for each: no classes to be cut.
TABLES = "bridge.server.config."
#: Where a rule stands: nowhere else is anything that looks like it.
MOUNT_RULE = {"bridge/http/paths.py"}
SMALL_ANSWER = {"bridge/http/error_response.py"}
RESPONSE_STATUS = {"bridge/http/status.py"}
HTTP1_BYTES = {
    "bridge/http/response_fields.py",
    "bridge/http/response_head.py",
    "bridge/server/http1/response.py",
    "bridge/websocket/handshake.py",
}


class Figure(NamedTuple):
    """What is counted, in words; the worst of it; the most that is allowed; what is above that."""

    name: str
    value: float
    most: float
    above: list[str]


class Module(NamedTuple):
    """One source file."""

    name: str
    path: str
    text: str
    tree: ast.Module


def main() -> int:
    """Print the figures. Returns the exit code."""
    modules = read(SOURCES)
    failed = False
    for count in FIGURES:
        figure = count(modules)
        bad = bool(figure.above)
        failed |= bad
        mark = "TOO MUCH" if bad else "ok"
        print(f"{mark:8} {figure.name}: {figure.value:.4g} (at most {figure.most:.4g})")
        for line in figure.above:
            print(f"           {line}")
    return 1 if failed else 0


def read(folder: Path) -> list[Module]:
    """The source files below `folder`."""
    modules = []
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(folder.parent)
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        text = file.read_text(encoding="utf-8")
        modules.append(Module(name, path.as_posix(), text, ast.parse(text)))
    return modules


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
    counts = {module.path: float(module.text.count("\n")) for module in modules}
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


class Class(NamedTuple):
    """A class: the full names of its bases, and what it defines itself."""

    bases: list[str]
    methods: set[str]
    attributes: set[str]


def classes(modules: list[Module]) -> dict[str, Class]:
    """The classes of all modules, by their full names; nested ones included."""
    found = {}
    for module in modules:
        names = _imported(module)
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
                full = [names.get(base, f"{module.name}.{base}") for base in bases]
                found[f"{module.name}.{node.name}"] = _class(node, full)
    return found


def _imported(module: Module) -> dict[str, str]:
    """What the names that a module imports stand for."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _class(node: ast.ClassDef, bases: list[str]) -> Class:
    methods, attributes = set(), set()
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                methods.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                attributes.add(name)
            case ast.Assign(targets=[ast.Name(id="__slots__")]):
                pass  # what is in there is set somewhere
            case ast.Assign(targets=targets):
                attributes |= {target.id for target in targets if isinstance(target, ast.Name)}
    for inner in ast.walk(node):
        match inner:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                attributes.add(name)
    constants = {name for name in attributes if name.isupper()}
    return Class(bases, methods, attributes - methods - constants)


def _over_bases(name: str, known: dict[str, Class]) -> tuple[set[str], set[str]]:
    """The methods and the attributes of a class and of all its bases that are ours."""
    own = known[name]
    methods, attributes = set(own.methods), set(own.attributes)
    for base in own.bases:
        if base in known and base != name:
            more_methods, more_attributes = _over_bases(base, known)
            methods |= more_methods
            attributes |= more_attributes
    return methods, attributes


def attributes_of_a_class(modules: list[Module]) -> Figure:
    """How many attributes a class has, those of its bases included; constants do not count."""
    known = classes(modules)
    counts = {n: float(len(_over_bases(n, known)[1])) for n in known if not n.startswith(TABLES)}
    return _worst("attributes of a class over its bases", counts, MOST_ATTRIBUTES)


def methods_of_a_class(modules: list[Module]) -> Figure:
    """How many methods and properties a class has, those of its bases included."""
    known = classes(modules)
    counts = {n: float(len(_over_bases(n, known)[0])) for n in known if not n.startswith(TABLES)}
    return _worst("methods of a class over its bases", counts, MOST_METHODS)


# ------------------------------------------------------------- rules that stand once


def _places(
    name: str, modules: list[Module], pattern: re.Pattern[str], allowed: set[str], most: int
) -> Figure:
    """Which files have lines that match, comments and docstrings left out."""
    found: dict[str, str] = {}
    for module in modules:
        for number, line in _code_lines(module):
            if pattern.search(line):
                found.setdefault(module.path, f"{module.path}:{number} {line.strip()}")
    above = [line for path, line in found.items() if path not in allowed]
    return Figure(name, len(found), most, above)


def _code_lines(module: Module) -> Iterator[tuple[int, str]]:
    hidden: set[int] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            hidden.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    for number, line in enumerate(module.text.splitlines(), 1):
        if number not in hidden and not line.lstrip().startswith("#"):
            yield number, line


_CUTS_A_PREFIX = re.compile(
    r"\[len\(\w*(?:root|prefix|mount|place|script)\w*\)|"
    r"(?:startswith|removeprefix)\(\s*(?:self\.)?\w*(?:root|prefix|mount|script_name)\w*"
)
_SMALL_ANSWER = re.compile(r"text/plain")
_JUDGES_A_STATUS = re.compile(r"200\s*<=.*<=\s*999|range\(200, 1000\)")
_HTTP1 = re.compile(
    r"HTTP/1\.[01] ?%|HTTP/1\.[01] [1-5]|HTTP/1\.1 \{|"  # a status line
    r"[A-Za-z%b]: ?[^\"']*\\r\\n|"  # a field line
    r"%x\\r\\n|0\\r\\n\\r\\n"  # a chunk
)


def places_of_the_mount_rule(modules: list[Module]) -> Figure:
    """Where a path is cut at a mount point (W3, D1, D8)."""
    return _places("places of the mount rule", modules, _CUTS_A_PREFIX, MOUNT_RULE, 1)


def places_of_the_head(modules: list[Module]) -> Figure:
    """Where the status of a response is judged."""
    name = "places where the status of a response is judged"
    return _places(name, modules, _JUDGES_A_STATUS, RESPONSE_STATUS, 1)


def places_of_the_small_answer(modules: list[Module]) -> Figure:
    """Where an answer of ours gets its text."""
    return _places("places of the small answer", modules, _SMALL_ANSWER, SMALL_ANSWER, 1)


def files_that_write_http1(modules: list[Module]) -> Figure:
    """Where status lines, field lines and chunks are made."""
    name = "files that write HTTP/1 bytes, the fields beside the head counted as one"
    figure = _places(name, modules, _HTTP1, HTTP1_BYTES, 3)
    return figure._replace(value=min(figure.value, max(3, figure.value - 1)))


# ------------------------------------------------------------- imports of all kinds


def circles(modules: list[Module]) -> Figure:
    """Modules that import each other, imports in functions and in strings included."""
    graph = {module.name: imports(module, {each.name for each in modules}) for module in modules}
    found = [" <-> ".join(sorted(circle)) for circle in _strongly_connected(graph)]
    return Figure("circles of imports", len(found), 0, found)


def imports(module: Module, names: set[str]) -> set[str]:
    """What `module` imports of `names`, whatever way it does so but for type checkers alone."""
    found = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                found |= {alias.name for alias in aliases}
            case ast.ImportFrom(module=str(source), names=aliases):
                inner = {f"{source}.{alias.name}" for alias in aliases}
                found |= inner & names or {source}
            case ast.Constant(value=str(text)) if text in names and "." in text:
                found.add(text)
    if module.name == "bridge":  # its names are loaded when they are first used
        return set()
    return found & names - {module.name}


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
    where_for_if,
]

if __name__ == "__main__":
    sys.exit(main())
