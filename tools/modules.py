"""What the tools know of source files: their text, their classes, what they import.

Only the text is read; nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Module(NamedTuple):
    """One source file."""

    name: str
    path: str
    text: str
    tree: ast.Module


def read(folder: Path) -> list[Module]:
    """The source files below `folder`."""
    modules = []
    for file in sorted(folder.rglob("*.py")):
        path = file.relative_to(folder.parent)
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        text = file.read_text(encoding="utf-8")
        modules.append(Module(name, path.as_posix(), text, ast.parse(text)))
    return modules


def code(module: Module) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Each node of the code and its parent; docstrings and texts that stand alone are left out."""
    for parent in ast.walk(module.tree):
        if not isinstance(parent, ast.Expr) or not isinstance(parent.value, ast.Constant):
            for node in ast.iter_child_nodes(parent):
                yield node, parent


# ------------------------------------------------------------- imports


def imports(module: Module, names: set[str]) -> set[str]:
    """Which of `names` the file imports, in whatever way.

    In functions, for type checkers alone, and by a string with the name of a module.
    """
    found = set()
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                found |= {alias.name for alias in aliases}
            case ast.ImportFrom(names=aliases):
                source = _source(module, node)
                inner = {f"{source}.{alias.name}" for alias in aliases}
                found |= inner & names
                if not inner <= names:
                    found.add(source)
            case ast.Constant(value=str(text)) if text in names and "." in text:
                found.add(text)
    return found & names - {module.name}


def _source(module: Module, node: ast.ImportFrom) -> str:
    """The full name of the module that something is imported from."""
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    package = package[: len(package) - node.level + module.path.endswith("__init__.py")]
    return ".".join([*package, *filter(None, [node.module])])


# ------------------------------------------------------------- classes, over all their bases


class Class(NamedTuple):
    """A class: the full names of its bases, and what it defines itself."""

    bases: list[str]
    methods: set[str]
    attributes: set[str]


def classes(modules: list[Module]) -> dict[str, Class]:
    """The classes of all modules, by their full names; nested ones included."""
    aliases = {
        f"{module.name}.{name}": target
        for module in modules
        for name, target in _imported(module).items()
    }
    found: dict[str, Class] = {}
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
                full = [_resolved(f"{module.name}.{base}", aliases) for base in bases]
                name = f"{module.name}.{node.name}"
                while name in found:  # one of the same name in another place of the file
                    name += "'"
                found[name] = _class(node, full)
    return found


def _imported(module: Module) -> dict[str, str]:
    """What the names that a module imports stand for."""
    names: dict[str, str] = {}
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                names |= {alias.asname or alias.name: alias.name for alias in aliases}
            case ast.ImportFrom(names=aliases):
                source = _source(module, node)
                names |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in aliases}
    return names


def _resolved(name: str, aliases: dict[str, str]) -> str:
    """The name under which something was defined, for one that a file calls it by."""
    for _ in range(10):
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            known = aliases.get(".".join(parts[:end]))
            if known is not None:
                name = ".".join([known, *parts[end:]])
                break
        else:
            break
    return name


def over_bases(name: str, known: dict[str, Class]) -> tuple[set[str], set[str]]:
    """The methods and the attributes of a class and of all its bases that are ours."""
    own = known[name]
    methods, attributes = set(own.methods), set(own.attributes)
    for base in own.bases:
        if base in known and base != name:
            more_methods, more_attributes = over_bases(base, known)
            methods |= more_methods
            attributes |= more_attributes
    return methods, attributes - methods


def _class(node: ast.ClassDef, bases: list[str]) -> Class:
    methods: set[str] = set()
    constants: set[str] = set()
    attributes: set[str] = set()
    for statement in node.body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                methods.add(name)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=slots):
                attributes |= {each.value for each in ast.walk(slots) if _is_text(each)}  # type: ignore[attr-defined]
            case ast.AnnAssign() | ast.Assign():
                names = {each.id for each in ast.walk(statement) if _is_target(each)}  # type: ignore[attr-defined]
                constants |= {name for name in names if name.isupper()}
                attributes |= names
    for inner in _own(node):
        match inner:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                attributes.add(name)
    return Class(bases, methods, attributes - methods - constants)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_target(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a class but for those of classes in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef):
            yield child
            yield from _own(child)
