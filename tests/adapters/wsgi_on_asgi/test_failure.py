"""What an app raises is told once: to the host, or in our log."""

from __future__ import annotations

import pytest

from bridge.adapters.wsgi_on_asgi.failure import Failure, RaisesOn
from bridge.errors import Overloaded


class Sink(RaisesOn):
    """A sink that has just been made, or whose host has left."""

    def __init__(self, *, gone: bool) -> None:
        self.gone = gone


def test_it_is_taken_once(caplog: pytest.LogCaptureFixture) -> None:
    """W38: the side that comes second finds nothing, and says nothing."""
    error = ValueError("wrong")
    failure = Failure(error)
    assert failure.take() is error
    assert failure.take() is None
    failure.log()
    assert not caplog.records


def test_it_is_logged_if_the_host_does_not_take_it(caplog: pytest.LogCaptureFixture) -> None:
    """W38: of a request that the host has cancelled."""
    failure = Failure(ValueError("wrong"))
    failure.log()
    failure.log()
    (record,) = caplog.records
    assert "whose client has left" in record.getMessage()
    assert failure.take() is None


def test_the_host_is_told() -> None:
    """W38: as long as it is there."""
    sink, error = Sink(gone=False), ValueError("wrong")
    assert sink.failed(error)
    assert sink.failure is not None
    assert sink.failure.take() is error


def test_a_host_that_has_left_is_not_told() -> None:
    """W38: then the app's side logs."""
    sink = Sink(gone=True)
    assert not sink.failed(ValueError("wrong"))
    assert sink.failure is not None
    assert sink.failure.take() is None


def test_what_would_end_the_host() -> None:
    """W38: SystemExit is logged like other errors of the app, and does not go on to the host."""
    sink = Sink(gone=False)
    assert not sink.failed(SystemExit(1))
    assert sink.failure is None


def test_a_full_pool_is_no_failure() -> None:
    """W52: it is logged when the request is refused."""
    assert not Sink(gone=False).refused(Overloaded("full"))
