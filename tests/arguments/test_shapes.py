"""What a callable takes, and what it passes a call on to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from bridge.arguments.shapes import (
    callee,
    closure_values,
    is_named_like_factory,
    plain_attribute,
    shape_of,
    wrapped_callables,
)


def plain(a: Any, b: Any, c: Any = None) -> None: ...
async def rest(*args: Any, **kwargs: Any) -> None: ...
def keyword(a: Any, *, loop: Any = None) -> None: ...
def demanding(a: Any, *, loop: Any) -> None: ...
def create_app() -> None: ...


class Base:
    def __call__(self, one: Any) -> None: ...


class Instance(Base):
    async def __call__(self, one: Any, two: Any) -> None: ...  # type: ignore[override]
    def method(self, one: Any) -> None: ...


class Broken:
    """Its call is a descriptor that raises."""

    class Raises:
        def __get__(self, instance: Any, owner: Any) -> Any:
            raise RuntimeError("not now")

    __call__ = Raises()


class NoSignature:
    __signature__ = "none"

    def __call__(self) -> None: ...


SHAPES: list[tuple[Any, str]] = [
    (plain, "a callable that takes (a, b, c)"),
    (rest, "an async callable that takes (*args)"),
    (Instance(), "an async callable that takes (one, two)"),
    (Instance().method, "a callable that takes (one)"),
    (functools.partial(plain, 1), "a callable that takes (b, c)"),
    (Instance, "a callable that takes ()"),
]


@pytest.mark.parametrize(("app", "words"), SHAPES)
def test_shapes(app: Any, words: str) -> None:
    """D2: what a call may pass, without what is bound already, and whether it is awaited."""
    assert str(shape_of(app)) == words


@pytest.mark.parametrize("app", [5, None, "text", Broken()])
def test_what_cannot_be_told(app: Any) -> None:
    """D2: what is no callable, or raises when it is looked at, has no shape."""
    assert shape_of(app) is None


def test_a_signature_that_is_none() -> None:
    """D2: an object that lies about its signature is told by what its call runs."""
    shape = shape_of(NoSignature())
    assert shape is not None
    assert shape.names == ()


@pytest.mark.parametrize(
    ("app", "counts"),
    [(plain, [2, 3]), (rest, [0, 1, 2, 3, 4]), (keyword, [1]), (demanding, [])],
)
def test_how_many(app: Any, counts: list[int]) -> None:
    """D2: how many positional arguments a call may have."""
    shape = shape_of(app)
    assert shape is not None
    assert [count for count in range(5) if shape.takes(count)] == counts
    assert shape.keywords is (app in (keyword, demanding))


def test_what_a_call_runs() -> None:
    """D2: a function runs itself, an instance what its class has for a call, and None raises."""
    instance = Instance()
    assert callee(plain) is plain
    assert callee(Instance) is Instance
    assert callee(instance) == instance.__call__
    assert callee(Broken()) is None
    assert callee(object()) is None


@pytest.mark.parametrize(
    ("name", "yes"),
    [("create_app", True), ("make_wsgi", True), ("create_index", False), ("app", False)],
)
def test_makers(name: str, yes: bool) -> None:
    """D2: a function is probably a factory if its name says so; a class or instance is not."""

    def function() -> None: ...

    function.__name__ = name
    assert is_named_like_factory(function) is yes
    assert not is_named_like_factory(functools.partial(create_app))


def test_attributes() -> None:
    """D2: an attribute counts if it is really there, and can be had now."""

    class Proxy:
        real = 5

        @property
        def late(self) -> Any:
            raise RuntimeError("not yet")

        def __getattr__(self, name: str) -> Any:
            return name

    assert [plain_attribute(Proxy(), name) for name in ("real", "late", "made_up")] == [
        5,
        None,
        None,
    ]


def test_closures() -> None:
    """D2: a plain decorator holds its app in its closure, perhaps not yet."""

    def decorator(app: Any) -> Callable[[], Any]:
        def inner() -> Any:
            return app, later

        if app is None:
            later = 1
        return inner

    assert list(closure_values(decorator(plain))) == [plain]
    assert list(closure_values(5)) == []


def test_what_is_wrapped() -> None:
    """D2: what `functools.wraps` names, what a partial calls, and what a base class would run."""

    @functools.wraps(plain)
    def wrapper(*args: Any) -> None: ...

    assert list(wrapped_callables(wrapper, wrapper)) == [plain, plain]
    partial = functools.partial(rest)
    assert rest in list(wrapped_callables(partial, partial))
    partial = functools.partial(rest, plain)
    assert plain in list(wrapped_callables(partial, partial))
    instance = Instance()
    bases = list(wrapped_callables(instance, callee(instance)))
    assert bases[-1] == Base.__call__.__get__(instance)


def test_what_a_method_wraps() -> None:
    """D2: a decorated method wraps a method of the same object; a proxy's own object counts."""

    class Decorated:
        @functools.wraps(plain)
        def method(self, *args: Any) -> None: ...

    instance = Decorated()
    method, owner = list(wrapped_callables(instance.method, instance.method))[:2]
    assert (method.__func__, method.__self__) == (plain, instance)  # type: ignore[attr-defined]
    assert owner is instance
