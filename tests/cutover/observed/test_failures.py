"""What the new app raises, in the log."""

from __future__ import annotations

import logging

import pytest

from bridge.cutover.observed import failures
from bridge.cutover.observed.failures import FailureLog
from bridge.errors import AppError

LEAD = "the new app failed a request of route a, which the old app answers"


def raised(error: Exception, *, elsewhere: bool = False) -> Exception:
    """The error as it is when an app has raised it, at one of two places."""
    try:
        if elsewhere:
            raise error
        raise error
    except Exception as caught:
        return caught


def test_each_kind_has_one_traceback_and_a_line_for_each_further_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M22: a kind is an exception and a place; the text and the route do not count."""
    log = FailureLog()
    for text in ("one", "two", "th\nree\x1b[0m" + "x" * 500):
        log.tell("a", raised(ValueError(text)))
    log.tell("a", raised(KeyError("one")))
    log.tell("a", raised(ValueError("one"), elsewhere=True))
    first, second, third, *others = caplog.records
    assert (first.getMessage(), first.levelno) == (LEAD, logging.ERROR)
    assert [bool(each.exc_info) for each in caplog.records] == [True, False, False, True, True]
    assert second.getMessage().startswith(f"{LEAD}: ValueError: two ({__file__}:")
    assert second.getMessage().endswith("; 2 times, the first one with a traceback)")
    assert f"{LEAD}: ValueError: th ree?[0mxxx" in third.getMessage()
    assert "3 times" in third.getMessage()
    assert len(third.getMessage()) < 600
    assert len(others) == 2


def test_what_a_framework_has_logged_is_a_line_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """M22: nothing was raised; the app has answered 500."""
    log = FailureLog()
    for _ in range(2):
        log.tell("a", AppError("it answered with 500"))
    assert [each.getMessage() for each in caplog.records] == [f"{LEAD}: it answered with 500"] * 2
    assert not any(each.exc_info for each in caplog.records)


def test_an_error_that_cannot_say_what_it_is(caplog: pytest.LogCaptureFixture) -> None:
    """M22: it is an app's, and anything may be wrong with it."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    log = FailureLog()
    log.tell("a", Odd())
    log.tell("a", Odd())
    assert "Odd: ? (" in caplog.records[1].getMessage()


def test_the_number_of_kinds_is_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M22: code that is made anew each time has no end of places."""
    monkeypatch.setattr(failures, "_MOST_KINDS", 1)
    log = FailureLog()
    log.tell("a", raised(ValueError("one")))
    for _ in range(2):
        log.tell("a", raised(KeyError("two")))
    assert [bool(each.exc_info) for each in caplog.records] == [True, False, False]
    assert "KeyError: 'two' (" in caplog.records[2].getMessage()
