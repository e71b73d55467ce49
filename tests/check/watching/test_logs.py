"""What an app logs while it is driven (M51)."""

from __future__ import annotations

import logging

import pytest

from bridge.check.watching.logs import Logs


def log_an_error() -> ZeroDivisionError:
    try:
        1 / 0
    except ZeroDivisionError as error:
        logging.getLogger("shop").exception("failed")
        return error


def test_errors_are_kept_and_nothing_is_printed(caplog: pytest.LogCaptureFixture) -> None:
    """M51: the last one since it was asked for."""
    with Logs() as logs:
        error = log_an_error()
        logging.getLogger("shop").warning("no error")
        assert logs.take() is error
        assert logs.take() is None
    assert caplog.records == []


def test_handlers_see_it_if_wished_and_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    """M51: --verbose passes all on."""
    with Logs(passes_on=True):
        log_an_error()
    with Logs():
        pass
    log_an_error()
    assert [each.message for each in caplog.records] == ["failed", "failed"]
