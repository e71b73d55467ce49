"""What the signature of a consumer tells."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from bridge.asgi1.signature import runs_on_loop, takes_channels
from bridge.errors import ConfigError


def plain(message: Any) -> None: ...
def with_keywords(message: Any, **keywords: Any) -> None: ...
def generator(message: Any) -> Iterator[Any]:
    yield {}


async def coroutine(message: Any) -> None: ...
async def async_generator(message: Any) -> AsyncIterator[Any]:
    yield {}


def plain_with_channels(message: Any, channels: Any) -> None: ...
async def with_channels(message: Any, channels: Any) -> None: ...
async def perhaps_with_channels(message: Any, channels: Any = None) -> None: ...
async def with_another(message: Any, limit: int = 3) -> None: ...
async def generator_with_channels(message: Any, channels: Any) -> AsyncIterator[Any]:
    yield {}


class Plain:
    def __call__(self, message: Any) -> None: ...

    async def method(self, message: Any, channels: Any) -> None: ...


class Coroutine:
    async def __call__(self, message: Any, channels: Any) -> None: ...


class Generator:
    async def __call__(self, message: Any) -> AsyncIterator[Any]:
        yield {}


def decorated(consumer: Any) -> Any:
    @functools.wraps(consumer)
    def wrapper(*arguments: Any) -> Any:
        return consumer(*arguments)

    return wrapper


def undecorated(consumer: Any) -> Any:
    return lambda *arguments: consumer(*arguments)


ONE = [plain, with_keywords, generator, coroutine, async_generator, Plain(), Generator(), print]
ONE += [
    with_another,
    decorated(plain),
    undecorated(plain),
    functools.partial(with_another, limit=1),
]
TWO = [plain_with_channels, with_channels, perhaps_with_channels, generator_with_channels]
TWO += [Coroutine(), Plain().method, decorated(decorated(with_channels))]


@pytest.mark.parametrize("consumer", ONE)
def test_consumers_of_a_message(consumer: Any) -> None:
    """L2: shapes (a) and (b) take one argument; so does what hides its arguments."""
    assert not takes_channels(consumer)


@pytest.mark.parametrize("consumer", TWO)
def test_consumers_of_a_message_and_channels(consumer: Any) -> None:
    """L2: shape (c) takes two."""
    assert takes_channels(consumer)


@pytest.mark.parametrize("consumer", [lambda: None, lambda a, b, c: None, 3, "module:consumer"])
def test_what_is_no_consumer_is_refused(consumer: Any) -> None:
    """L2: it is told what was seen, and what is allowed."""
    with pytest.raises(ConfigError, match="an ASGI 1 consumer"):
        takes_channels(consumer)


def test_wrappers_without_end_are_left_alone() -> None:
    """L2: a wrapper that wraps itself is not followed for ever."""
    wrapper = decorated(plain)
    wrapper.__wrapped__ = wrapper
    assert not takes_channels(wrapper)


LATER = [coroutine, async_generator, with_channels, generator_with_channels, Coroutine()]
LATER += [Generator(), Plain().method, functools.partial(coroutine), functools.partial(Coroutine())]


@pytest.mark.parametrize("consumer", LATER)
def test_consumers_that_run_on_the_loop(consumer: Any) -> None:
    """L2: coroutine functions and async generator functions, and objects that are called so."""
    assert runs_on_loop(consumer)


@pytest.mark.parametrize("consumer", [plain, generator, Plain(), decorated(coroutine), print])
def test_consumers_that_run_under_a_runner(consumer: Any) -> None:
    """L2: all others, also if it turns out that they return a coroutine."""
    assert not runs_on_loop(consumer)
