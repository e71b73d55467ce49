"""Which apps a directory plainly holds: told by the text of its files, and never by an import."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: The files that usually hold an app, the likeliest first.
_FILES: Final = ("app.py", "wsgi.py", "asgi.py", "main.py", "application.py", "server.py")

#: The beginnings of the names of files that hold none.
_NO_APPS: Final = ("test_", "conftest.", "setup.", "manage.")

#: What makes an app, if it is called -> what that app is.
_MAKERS: Final = {
    "Flask": "a Flask app",
    "Quart": "a Quart app",
    "FastAPI": "a FastAPI app",
    "Starlette": "a Starlette app",
    "Litestar": "a Litestar app",
    "Bottle": "a Bottle app",
    "make_wsgi_app": "a Pyramid app",
    "get_wsgi_application": "a Django project",
    "get_asgi_application": "a Django project (ASGI)",
    "create_app": "an app",
    "make_app": "an app",
}

#: The arguments of a function that is an app -> what that app is.
_SHAPES: Final[dict[tuple[str, ...], str]] = {
    ("environ", "start_response"): "a WSGI app",
    ("scope", "receive", "send"): "an ASGI app",
}
_FACTORIES: Final = ("create_app", "make_app")
#: What is said after the name of one.
_FACTORY: Final = " --factory"

#: The most bytes of a file that are read, and the most directories that are looked into.
_LARGEST, _MOST = 262_144, 50

_SETTINGS = re.compile(r"""DJANGO_SETTINGS_MODULE["'],\s*["'](?P<module>[\w.]+)["']""")


@dataclass(frozen=True)
class Found:
    """An app: the file that has it, what it is, and what to write after `asgi-bridge serve`."""

    file: str
    kind: str
    words: str


def find(directory: Path) -> list[Found]:
    """List what `directory` holds, the likeliest first. Nothing is imported, nothing is raised."""
    try:
        found = [*_find(directory)] or [*_below(directory)]
        return list(dict.fromkeys(_from_above(each, directory) for each in found))
    except OSError:
        return []


def _from_above(found: Found, directory: Path) -> Found:
    """Return what to write for a Django project, if `directory` is the package in it."""
    package = directory.absolute().name
    settings = _SETTINGS.search(_text(directory / found.file))
    if settings is None or settings["module"].partition(".")[0] != package:
        return found
    if found.file == "manage.py" or not (directory / "__init__.py").is_file():
        return found
    return Found(found.file, found.kind, f"{package}.{found.words} --app-dir ..")


def _below(directory: Path) -> Iterator[Found]:
    """Yield what the directories in `directory` hold: what to write says where it is."""
    for place in _folders(directory):
        package = (place / "__init__.py").is_file()
        for found in (*_project(place), *_usual(place)):
            if package and not found.file.startswith("manage."):
                words = f"{place.name}.{found.words}"
            else:
                words = f"{found.words} --app-dir {place.name}"
            yield Found(f"{place.name}/{found.file}", found.kind, words)


def _folders(directory: Path) -> list[Path]:
    """List the directories in `directory` that may have an app."""
    inner = (each for each in directory.iterdir() if each.name.isidentifier() and each.is_dir())
    return sorted(each for each in inner if not (each / "pyvenv.cfg").is_file())[:_MOST]


def _find(directory: Path) -> Iterator[Found]:
    yield from _project(directory)
    yield from _usual(directory)
    others = sorted(each.name for each in directory.glob("*.py") if each.name not in _FILES)
    for name in [name for name in others if not name.startswith(_NO_APPS)][:_MOST]:
        yield from _apps(directory / name, name, name.removesuffix(".py"))
    packages = sorted(each for each in directory.iterdir() if each.name.isidentifier())
    for package in packages[:_MOST]:
        yield from _apps(package / "__init__.py", f"{package.name}/__init__.py", package.name)


def _usual(directory: Path) -> Iterator[Found]:
    for name in _FILES:
        yield from _apps(directory / name, name, name.removesuffix(".py"))


def _project(directory: Path) -> Iterator[Found]:
    """Yield the Django project that a manage.py is for: by its wsgi.py, else its asgi.py."""
    settings = _SETTINGS.search(_text(directory / "manage.py"))
    package = settings["module"].partition(".")[0] if settings else ""
    for name in ("wsgi", "asgi"):
        if package and "application" in _text(directory / package / f"{name}.py"):
            yield Found("manage.py", "a Django project", f"{package}.{name}:application")
            return


def _apps(path: Path, shown: str, module: str) -> Iterator[Found]:
    """Yield what a file plainly makes; the apps before functions that make one."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(_text(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    found = list(_named(tree, shown, module))
    yield from sorted(found, key=lambda each: each.words.endswith(_FACTORY))


def _named(tree: ast.Module, shown: str, module: str) -> Iterator[Found]:
    for statement in tree.body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=maker))
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=maker))
            ):
                kind = _MAKERS.get(ast.unparse(maker).rpartition(".")[2])
                if kind is not None:
                    yield Found(shown, kind, f"{module}:{name}")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                arguments = tuple(each.arg for each in statement.args.args)
                if kind := _SHAPES.get(arguments):
                    yield Found(shown, kind, f"{module}:{name}")
                elif name in _FACTORIES and _is_callable(statement):
                    yield Found(shown, "a function that makes an app", f"{module}:{name}{_FACTORY}")


def _is_callable(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it is a plain function that needs no arguments."""
    given = function.args
    needed = len(given.posonlyargs) + len(given.args) - len(given.defaults)
    return isinstance(function, ast.FunctionDef) and not needed and None not in given.kw_defaults


def _text(path: Path) -> str:
    """Return the text of a file; none if it cannot be read, is no text or very large."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return ""
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return ""
