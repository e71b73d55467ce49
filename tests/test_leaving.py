"""Whether an error comes of a client's leaving, whatever its chain looks like (W38, S14)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from bridge.errors import ClientDisconnected
from bridge.leaving import comes_of_leaving


def chain(*errors: BaseException) -> BaseException:
    """The first of `errors`, each of which was caused by the next."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def circle() -> BaseException:
    """An error that comes of itself, by way of another."""
    first, second = KeyError(), ValueError()
    first.__cause__, second.__context__ = second, first
    return first


def test_chain_is_followed() -> None:
    """S14: frameworks wrap our error in theirs; a group comes of leaving if all of it does."""
    gone = ClientDisconnected("gone")
    assert comes_of_leaving(chain(OSError(), ValueError(), gone))
    assert comes_of_leaving(BaseExceptionGroup("two", [gone, chain(OSError(), gone)]))
    assert not comes_of_leaving(BaseExceptionGroup("two", [gone, OSError()]))
    assert not comes_of_leaving(chain(OSError(), ValueError()))


@pytest.mark.parametrize("shape", ["circle", "group", "member", "wide", "long"])
def test_chain_without_an_end(shape: str) -> None:
    """S14: a chain that is a circle, or as good as endless, has an answer all the same."""
    error = circle()
    if shape == "group":
        error = BaseExceptionGroup("around", [error, error])
    elif shape == "member":
        member = OSError()
        error = member.__context__ = BaseExceptionGroup("around its own cause", [member])
    elif shape == "wide":
        for _ in range(50):
            error = BaseExceptionGroup("twice", [error, error])
    elif shape == "long":
        error = chain(*(OSError() for _ in range(10_000)))
    assert not comes_of_leaving(error)
