"""The loggers: however an error is logged, and whatever it is, its request is over (W38, S14)."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bridge import WsgiToAsgi
from bridge.log import SafeLogger, logger, safe_logger
from bridge.server.exchange import DONE
from bridge.types import Receive, Scope, Send
from tests.support.raw import request
from tests.support.serving import served
from tests.support.waiting import eventually


class Broken(logging.Handler):
    """A handler that raises, as one that cannot reach its service may."""

    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("no log today")


@pytest.fixture
def broken_log() -> Iterator[None]:
    handler = Broken()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def circle() -> Exception:
    first, second = KeyError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    return first


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Raises, at ``/left`` when its client has left."""
    if scope["path"] == "/left":
        await receive()
        await receive()
    raise circle()


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    raise circle()


@pytest.mark.parametrize("app", [asgi, WsgiToAsgi(wsgi)])
@pytest.mark.usefixtures("broken_log")
def test_a_log_that_raises(app: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """S14 W38: the client has its 500 though the error cannot be logged; stderr says so."""
    with served(app, limit_requests=1) as server:
        for _ in range(3):
            with server.connect() as client:
                client.send(request("/"))
                assert client.response().status == 500
    assert "RuntimeError('no log today')" in capfd.readouterr().err


def test_an_error_that_comes_of_itself() -> None:
    """S2 S14: an error whose causes are a circle costs no place of `limit_requests`."""
    with served(asgi, limit_requests=1) as server:
        for _ in range(3):
            with server.connect() as client:
                client.send(request("/left"))
                eventually(lambda: server.server.state.active)
            eventually(
                lambda: all(each.response_state >= DONE for each in server.server.state.active)
            )
        with server.connect() as client:
            assert client.get("/").status == 500


class Own(logging.Logger):
    """A class of an application's own."""


def test_whose_logger_it_is() -> None:
    """S14: ours never raises; a logger of the application's own class stays what it is."""
    logging.setLoggerClass(Own)
    try:
        theirs = safe_logger("tests.log.theirs")
    finally:
        logging.setLoggerClass(logging.Logger)
    assert type(theirs) is Own
    assert type(safe_logger("tests.log.ours")) is SafeLogger
    assert safe_logger("bridge.error") is logger


@pytest.mark.parametrize("stderr", [None, "closed"])
@pytest.mark.usefixtures("broken_log")
def test_nobody_to_tell(stderr: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """S14: without a stderr that can be written to, a log that raises is nobody's affair."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed if stderr else None)
    logger.error("an error")
