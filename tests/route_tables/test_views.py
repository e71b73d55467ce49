"""Where a view is written, and whether it is async."""

from __future__ import annotations

import functools
import inspect
import itertools
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import markcoroutinefunction
from flask import current_app

from bridge.route_tables.route import View
from bridge.route_tables.views import is_coroutine, is_coroutine_class, view_of

HERE = Path(__file__)


def line_of(text: str) -> int:
    """The line of this file that begins with `text`."""
    lines = HERE.read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.strip().startswith(text))


def logged(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper(*args: Any) -> Any:
        return view(*args)

    return wrapper


@logged
@logged
def decorated(request: object) -> None: ...


async def awaited(request: object) -> None: ...


class Views:
    """Some kinds of views."""

    def method(self, request: object) -> None: ...

    async def get(self) -> None: ...

    def post(self) -> None: ...


class Called:
    def __call__(self, request: object) -> None: ...


class Awaited:
    async def __call__(self, request: object) -> None: ...


@pytest.mark.parametrize(
    ("view", "name", "line"),
    [
        (decorated, "decorated", "def decorated"),
        (awaited, "awaited", "async def awaited"),
        (functools.partial(functools.partial(awaited, 1), 2), "awaited", "async def awaited"),
        (Views().method, "Views.method", "def method"),
        (Views, "Views", "class Views"),
        (Called(), "Called", "def __call__"),
    ],
)
def test_where_a_view_is_written(view: Any, name: str, line: str) -> None:
    """M50: decorators and partials are looked through; the line is that of `def`."""
    found = view_of(view)
    assert found.name == f"{__name__}.{name}"
    assert found.file is not None
    assert Path(found.file) == HERE
    assert found.line == line_of(line)


def test_views_that_are_nowhere() -> None:
    """M50: what is written in C, or was made by code, has no file, and is named all the same."""
    assert view_of(len) == view_of(functools.partial(len, "x"))
    assert (view_of(len).name, view_of(len).file, view_of(len).line) == ("len", None, None)
    assert view_of(operator.itemgetter("x")).name.startswith("operator.itemgetter")
    assert view_of(itertools.count()).line is None
    assert view_of("abc".upper).name == "str.upper"
    made: dict[str, Any] = {}
    exec("def view(request): pass\nclass View: pass", made)
    assert view_of(made["view"]).line == 1
    assert view_of(made["View"]).name.endswith("View")
    assert view_of(made["View"]()).line is None


def test_views_that_raise_when_they_are_looked_at() -> None:
    """M50: they are called by their class."""
    assert view_of(current_app) == View("werkzeug.local.LocalProxy")


def test_wrappers_that_lead_to_themselves() -> None:
    """M50: they end."""

    def view(request: object) -> None: ...

    view.__wrapped__ = view  # type: ignore[attr-defined]
    assert view_of(view).name.endswith("view")


def test_the_class_of_as_view() -> None:
    """M50: of class-based views the class is shown, not the function that makes one."""

    def view(request: object) -> None: ...

    view.view_class = Views  # type: ignore[attr-defined]
    assert view_of(view).name == f"{__name__}.Views"


@pytest.mark.parametrize(
    ("view", "is_async"),
    [
        (awaited, True),
        (functools.partial(awaited, 1), True),
        (logged(awaited), False),  # a call returns a coroutine, but frameworks see no async view
        (decorated, False),
        (Awaited(), True),
        (Called(), False),
        (Called, False),
        (len, False),
        (Views().get, True),
    ],
)
def test_async_views(view: Any, is_async: bool) -> None:
    """M50: a view is async if the framework awaits it: its outermost wrapper tells."""
    assert is_coroutine(view) is is_async
    assert view_of(view).is_async is is_async


def test_views_that_are_marked_as_async() -> None:
    """M50: by asgiref, as Django's decorators do it; and class-based ones by an attribute."""

    def view(request: object) -> None: ...

    assert not is_coroutine(view)
    assert is_coroutine(markcoroutinefunction(view))

    class Based:
        view_is_async = True

    assert is_coroutine(Based)


def test_classes_with_methods_for_methods() -> None:
    """M50: they are async if one of the methods is."""
    assert is_coroutine_class(Views, ("GET", "POST"))
    assert not is_coroutine_class(Views, ("POST", "PUT"))
    assert view_of(Views, is_async=True).is_async


def test_lambdas() -> None:
    """M50: they are where they stand."""
    views = {
        "first": lambda request: None,
    }
    assert view_of(views["first"]).line == inspect.getsourcelines(views["first"])[1]
