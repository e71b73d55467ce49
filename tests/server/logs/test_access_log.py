"""The access log: written in batches, from any thread, and no line lost."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from io import StringIO

import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.logs.access_log import AccessLog, make_access_logger, on_loop
from tests.support.records import Record

# ------------------------------------------------------------- writing


class Sink:
    """A logger with one handler of ours on a text stream, and what arrived there."""

    def __init__(self, logger: logging.Logger, handler: logging.Handler, stream: StringIO) -> None:
        self.logger = logger
        self.handler = handler
        self.stream = stream

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def sink() -> Iterator[Sink]:
    stream = StringIO()
    logger = logging.getLogger("test.access")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield Sink(logger, handler, stream)
    logger.removeHandler(handler)
    logger.filters.clear()
    logger.propagate = True


def test_at_once(sink: Sink) -> None:
    """S50: without a loop each line is written as its request ends."""
    log = AccessLog("%(s)s", sink.logger)
    log(Record())
    assert sink.lines == ["200"]
    log(Record())
    assert sink.lines == ["200", "200"]


def test_timed(sink: Sink) -> None:
    """S50: requests are timed only where a line tells of it."""
    assert AccessLog("json", sink.logger).timed
    assert not AccessLog("default", sink.logger).timed


def test_in_batches(sink: Sink) -> None:
    """S50: the lines of one moment are written together, in order, and none twice."""
    calls: list[Callable[[], None]] = []
    log = AccessLog("%(B)s", sink.logger, calls.append)
    for size in range(5):
        record = Record()
        record.sent = size
        log(record)
    assert sink.lines == []
    assert len(calls) == 1
    calls.pop()()
    assert sink.lines == list("01234")
    log(Record())
    assert len(calls) == 1
    log.flush()
    assert sink.lines[5:] == ["13"]
    calls.pop()()
    assert len(sink.lines) == 6


def test_from_many_threads(sink: Sink) -> None:
    """S50: requests that end in several threads are all logged, each once."""
    calls: list[Callable[[], None]] = []
    log = AccessLog("%(B)s", sink.logger, calls.append)
    count, threads = 300, 4

    def work(number: int) -> None:
        for at in range(count):
            record = Record()
            record.sent = number * count + at
            log(record)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        if calls:
            calls.pop()()
    while calls:
        calls.pop()()
    assert sorted(map(int, sink.lines)) == list(range(count * threads))


def test_other_handlers_get_every_line(sink: Sink) -> None:
    """S50: a logger with handlers or filters of an app's own is used as any logger is."""
    seen: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    collector = Collector()
    log = AccessLog("100%% %(s)s", sink.logger)
    sink.logger.addHandler(collector)
    log(Record())
    sink.logger.removeHandler(collector)
    log(Record())
    sink.logger.addFilter(lambda record: False)
    log(Record())
    assert seen == ["100% 200"]
    assert sink.lines == ["100% 200"] * 2


def test_a_level_set_later_holds(sink: Sink) -> None:
    """S50: raising the logger's level while the server runs silences it."""
    log = AccessLog("%(s)s", sink.logger)
    sink.logger.setLevel(logging.WARNING)
    log(Record())
    sink.logger.setLevel(logging.INFO)
    log(Record())
    assert sink.lines == ["200"]


def test_a_stream_that_fails(sink: Sink, capfd: pytest.CaptureFixture[str]) -> None:
    """S50: a log that cannot be written does not break the server."""
    log = AccessLog("%(s)s", sink.logger)
    sink.stream.close()
    log(Record())
    assert "Logging error" in capfd.readouterr().err


def test_on_a_loop(sink: Sink) -> None:
    """S50: on a loop, lines of its own thread and of others are written a moment later."""

    async def main() -> None:
        log = AccessLog("%(s)s", sink.logger, on_loop(asyncio.get_running_loop()))
        for from_where in (lambda: log(Record()), lambda: asyncio.to_thread(log, Record())):
            before = len(sink.lines)
            if (waiting := from_where()) is not None:
                await waiting
            assert len(sink.lines) == before
            while len(sink.lines) == before:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(main(), 10))
    assert sink.lines == ["200", "200"]


def test_after_the_loop(sink: Sink) -> None:
    """S50: a thread that ends a request after the loop was closed still has its line written."""

    async def make() -> AccessLog:
        return AccessLog("%(s)s", sink.logger, on_loop(asyncio.get_running_loop()))

    log = asyncio.run(make())
    thread = threading.Thread(target=log, args=(Record(),))
    thread.start()
    thread.join()
    assert sink.lines == ["200"]


# ------------------------------------------------------------- from the configuration


@pytest.fixture
def access_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("bridge.access")
    level, handlers = logger.level, logger.handlers[:]
    logger.setLevel(logging.INFO)
    yield logger
    logger.setLevel(level)
    logger.handlers[:] = handlers


def test_off(access_logger: logging.Logger) -> None:
    """S50: an access log that is off, or silenced by the level, is nothing to call."""
    assert make_access_logger(Config(access_log=False)) is None
    assert make_access_logger(Config()) is not None
    access_logger.setLevel(logging.WARNING)
    assert make_access_logger(Config()) is None


def test_without_standard_output(access_logger: logging.Logger) -> None:
    """S50: where nothing could be written, there is nothing to call."""
    access_logger.handlers[:] = [logging.NullHandler()]
    access_logger.propagate = False
    try:
        assert make_access_logger(Config()) is None
    finally:
        access_logger.propagate = True


def test_wrong_format_at_start(access_logger: logging.Logger) -> None:
    """S50: a wrong format stops the start."""
    with pytest.raises(ConfigError, match="give default, common, combined, json"):
        make_access_logger(Config(access_log_format="commen"))


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_colour(access_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """S50: statuses are coloured on a terminal only, and not where NO_COLOR asks for none."""
    monkeypatch.delenv("NO_COLOR", raising=False)

    def written(stream: StringIO) -> str:
        access_logger.handlers[:] = [logging.StreamHandler(stream)]
        access_logger.propagate = False
        log = make_access_logger(Config())
        assert log is not None
        log(Record())
        return stream.getvalue()

    assert written(Terminal()).endswith('" \x1b[32m200 OK\x1b[0m\n')
    assert written(StringIO()).endswith('" 200 OK\n')
    monkeypatch.setenv("NO_COLOR", "1")
    assert written(Terminal()).endswith('" 200 OK\n')
    access_logger.propagate = True
