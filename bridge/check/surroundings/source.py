"""What the app's own source says: calls that block in async functions, the API of uWSGI."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Final

from bridge.check.findings import Findings
from bridge.check.places import tree_of
from bridge.loops.watchdog.stack import Place

_METHODS: Final = ("get", "post", "put", "patch", "delete", "head", "options", "request")
#: Functions that wait without giving the event loop away.
BLOCKING: Final = frozenset(
    {
        *("time.sleep", "urllib.request.urlopen", "os.system", "socket.create_connection"),
        *("subprocess.run", "subprocess.call", "subprocess.check_call", "subprocess.check_output"),
        *(f"{library}.{name}" for library in ("requests", "httpx") for name in _METHODS),
    }
)
_UWSGI: Final = ("uwsgi", "uwsgidecorators")


def look_at_source(
    modules: Sequence[ModuleType], findings: Findings, *, as_asgi: bool, known: Sequence[Place] = ()
) -> None:
    """Note what stands in the source of `modules`; calls only if they run `as_asgi`.

    `known` are places that were seen to block.
    """
    seen = {(each.file, each.line) for each in known}
    for module in modules:
        file = getattr(module, "__file__", None) or ""
        tree = tree_of(file)
        if tree is None:
            continue
        names = dict(_imports(tree))
        for name, line in _uwsgi(tree):
            findings.add("uwsgi-api", Place(file, line, ""), module=name)
        for called, line, function in _blocking(tree, names) if as_asgi else ():
            if (file, line) not in seen:
                findings.add("blocking-call", Place(file, line, function), what=f"{called}()")


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that a module has by imports, and what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                whole = each.name if each.asname else each.name.partition(".")[0]
                yield each.asname or whole, whole
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for each in node.names:
                yield each.asname or each.name, f"{node.module}.{each.name}"


def _uwsgi(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((each.name, node.lineno) for each in node.names if each.name in _UWSGI)
        elif isinstance(node, ast.ImportFrom) and node.module in _UWSGI:
            yield node.module, node.lineno


def _blocking(tree: ast.Module, names: dict[str, str]) -> Iterator[tuple[str, int, str]]:
    """Yield calls of `BLOCKING` functions: what is called, the line, the async function."""
    for function in ast.walk(tree):
        if isinstance(function, ast.AsyncFunctionDef):
            for node in _within(function):
                called = _name_of(node.func, names) if isinstance(node, ast.Call) else None
                if called in BLOCKING:
                    yield called, node.lineno, function.name


def _within(function: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions of a function, but none of the functions in it."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.expr):
            yield node
        yield from _within(node)


def _name_of(called: ast.expr, names: dict[str, str]) -> str | None:
    """Return the whole name of what is called, as ``time.sleep``; None if imports do not tell."""
    if isinstance(called, ast.Name):
        return names.get(called.id)
    if isinstance(called, ast.Attribute):
        before = _name_of(called.value, names)
        return None if before is None else f"{before}.{called.attr}"
    return None
