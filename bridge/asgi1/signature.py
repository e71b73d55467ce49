"""What the signature of a consumer tells of how it is called (L2)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from bridge.arguments.kinds import type_with_article
from bridge.arguments.shapes import Shape, callee, shape_of, wrapped_callables
from bridge.errors import ConfigError, shown

#: An ASGI 1 consumer, in any of its historic shapes.
Consumer: TypeAlias = Callable[..., Any]

#: The most wrappers, one inside another, that are looked into.
_DEEPEST = 8


def takes_channels(consumer: object) -> bool:
    """Whether a consumer takes ``(message, channels)``, not ``(message)``.

    Raises `ConfigError` if it takes neither.
    """
    if not callable(consumer):
        raise ConfigError(
            "an ASGI 1 consumer is a callable, and "
            f"{shown(consumer)} is {type_with_article(consumer)}"
        )
    shape = _telling_shape(consumer)
    if shape is None:
        return False
    if shape.takes(1):
        return shape.takes(2) and shape.names[1:2] == ("channels",)
    if shape.takes(2):
        return True
    raise ConfigError(
        f"{shown(consumer)} is {shape}; an ASGI 1 consumer takes (message) or (message, channels)"
    )


def _telling_shape(consumer: object, depth: int = 0) -> Shape | None:
    """Return the shape of the callable that says by its arguments what it takes."""
    shape = shape_of(consumer)
    if depth > _DEEPEST or (shape is not None and (shape.names or not shape.open)):
        return shape
    for wrapped in wrapped_callables(consumer, callee(consumer)):
        found = _telling_shape(wrapped, depth + 1)
        if found is not None:
            return found
    return None


def runs_on_loop(consumer: Any) -> bool:
    """Whether a call of it runs nothing yet: it makes a coroutine or an async generator."""
    while isinstance(consumer, partial):
        consumer = consumer.func
    called = callee(consumer)
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (consumer, called)
    )
