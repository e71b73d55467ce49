"""The access log: every format, no line that a client could forge, no line lost."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.server.access_log import FORMATS, AccessLog, compile_format, make_access_logger, on_loop
from bridge.server.config import Config

TIME = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


class Head:
    method = "GET"
    target = b"/a%20b?x=1"
    http11 = True

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.headers = headers


class Connection:
    client: tuple[str, int] | None = ("192.0.2.7", 51234)


class Record:
    """An exchange that is over, as far as the log looks at it."""

    client: tuple[str, int] | None = None
    status = 200
    sent = 13

    def __init__(self, *headers: tuple[bytes, bytes], took: float = 0.0) -> None:
        self.head = Head(list(headers))
        self.connection = Connection()
        self.started = time.perf_counter() - took
        self.response_headers = [(b"Content-Type", b"text/html"), (b"x-note", b'say "hi"\n')]


def line(format: str, record: Record | None = None) -> str:
    return compile_format(FORMATS.get(format, format))(record or Record())


REFERER = (b"referer", b"http://example.org/")
AGENT = (b"user-agent", b"Mozilla/5.0")


# ------------------------------------------------------------- formats


def test_default() -> None:
    """S50: the default line is client, request line, status with its reason."""
    assert line("default") == '192.0.2.7:51234 - "GET /a%20b?x=1 HTTP/1.1" 200 OK'


def test_default_over_a_unix_socket() -> None:
    """S50: a client without an address is called `unix`."""
    record = Record()
    record.connection.client = None
    assert line("default", record).startswith('unix - "GET ')
    assert line("common", record).startswith("- - - [")


def test_the_client_that_a_proxy_names() -> None:
    """S50: behind a trusted proxy the line names the client, not the proxy."""
    record = Record()
    record.client = ("203.0.113.9", 0)
    assert line("default", record).startswith("203.0.113.9:0 - ")
    assert line("%(h)s", record) == "203.0.113.9"


def test_unusual_status() -> None:
    """S50: a status without a standard reason is logged all the same."""
    record = Record()
    record.status = 799
    assert line("default", record).endswith('" 799 Unknown')


def test_common() -> None:
    """S50: the common log format."""
    assert re.fullmatch(
        rf'192\.0\.2\.7 - - {TIME} "GET /a%20b\?x=1 HTTP/1\.1" 200 13', line("common")
    )


def test_combined() -> None:
    """S50: the combined log format has referer and user agent, `-` where there is none."""
    both = line("combined", Record(REFERER, AGENT))
    assert re.fullmatch(
        rf'192\.0\.2\.7 - - {TIME} "GET /a%20b\?x=1 HTTP/1\.1" 200 13 '
        r'"http://example\.org/" "Mozilla/5\.0"',
        both,
    )
    assert line("combined").endswith(' 200 13 "-" "-"')


def test_json() -> None:
    """S50: a JSON line is one object of the same facts."""
    before = datetime.now(UTC)
    text = line("json", Record((b"host", b"example.org"), REFERER, took=0.25))
    entry = json.loads(text)
    stamp = datetime.fromisoformat(entry.pop("time"))
    assert -1 < (stamp - before).total_seconds() < 60
    assert 0.25 <= entry.pop("duration") < 60
    assert entry == {
        "client": "192.0.2.7",
        "method": "GET",
        "target": "/a%20b?x=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 13,
        "host": "example.org",
        "referer": "http://example.org/",
        "user_agent": None,
    }


def basic(user: bytes) -> tuple[bytes, bytes]:
    return b"authorization", b"Basic " + base64.b64encode(user + b":secret")


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ("%(h)s|%(l)s|%(u)s", "192.0.2.7|-|joe"),
        ("%(r)s", "GET /a%20b?x=1 HTTP/1.1"),
        ("%(m)s %(U)s %(q)s %(H)s", "GET /a%20b x=1 HTTP/1.1"),
        ("%(s)s %(B)s %(b)s", "200 13 13"),
        ("%(f)s %(a)s", "http://example.org/ Mozilla/5.0"),
        ("%({User-Agent}i)s %({x-none}i)s", "Mozilla/5.0 -"),
        ("%({content-type}o)s %({X-Note}o)s", r"text/html say \x22hi\x22\x0a"),
        ("%({REMOTE_ADDR}e)s:%({REMOTE_PORT}e)s", "192.0.2.7:51234"),
        ("%({REMOTE_USER}e)s %({REQUEST_METHOD}e)s", "joe GET"),
        ("%({QUERY_STRING}e)s %({REQUEST_URI}e)s %({RAW_URI}e)s", "x=1 /a%20b?x=1 /a%20b?x=1"),
        ("%({SERVER_PROTOCOL}e)s %({HTTP_USER_AGENT}e)s", "HTTP/1.1 Mozilla/5.0"),
        ("%({CONTENT_TYPE}e)s %({CONTENT_LENGTH}e)s", "- 5"),
        ("%({PATH}e)s", "-"),
        ("100%% {r} {k1} %(s)s\\n é", "100% {r} {k1} 200\\n é"),
        ("%({x'y\"z{}i)s", "-"),
        ("%({é}i)s", "-"),
    ],
)
def test_atoms(format: str, expected: str) -> None:
    """S50: Gunicorn's atoms, and text around them as it stands."""
    record = Record(basic(b"joe"), REFERER, AGENT, (b"content-length", b"5"))
    assert line(format, record) == expected


def test_process_atom() -> None:
    """S50: the process that answered."""
    assert line("%(p)s") == f"<{os.getpid()}>"


def test_duration_atoms() -> None:
    """S50: durations in seconds, milliseconds, microseconds and with their fraction."""
    seconds, millis, micros, exact = line("%(T)s %(M)s %(D)s %(L)s", Record(took=2.5)).split()
    assert seconds == "2"
    assert 2500 <= int(millis) < 60000
    assert 2500000 <= int(micros) < 60000000
    assert re.fullmatch(r"2\.\d{6}", exact)


def test_time_atom() -> None:
    """S50: the time of day, with the month in English and the zone."""
    text = line("%(t)s")
    assert re.fullmatch(TIME, text)
    stamp = datetime.strptime(text, "[%d/%b/%Y:%H:%M:%S %z]")
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60


def test_no_body_and_http_1_0() -> None:
    """S50: `b` is `-` for no body, `B` is 0; an HTTP/1.0 request is logged as one."""
    record = Record()
    record.sent = 0
    record.head.http11 = False
    assert line("%(b)s %(B)s %(H)s", record) == "- 0 HTTP/1.0"
    assert line("%(r)s", record).endswith(" HTTP/1.0")


@pytest.mark.parametrize(
    "wrong", ["commmon", "", "%(z)s", "%(h)d", "%h", "100%", "%({x}z)s", "%({}i)s", "%(peer)s"]
)
def test_wrong_formats(wrong: str) -> None:
    """S50: an unknown format or atom is the operator's error, found at the start."""
    with pytest.raises(ConfigError, match="access_log_format"):
        compile_format(wrong)


@pytest.mark.parametrize(
    ("format", "timed"),
    [("default", False), ("combined", False), ("json", True), ("%(D)s", True), ("%(h)s", False)],
)
def test_timed(format: str, timed: bool) -> None:
    """S50: requests are timed only where a line tells of it."""
    assert AccessLog(format, logging.getLogger("test.timed")).timed is timed


# ------------------------------------------------------------- injection


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b'/"', r"/\x22"),
        (b"/\\", r"/\x5c"),
        (b"/\r\nGET /", r"/\x0d\x0aGET /"),
        (b"/\x1b[31m", r"/\x1b[31m"),
        (b"/\xe4\x85\x9b", r"/\xe4\x85\x9b"),
        (b"/\x7f\x00\t", r"/\x7f\x00\x09"),
        (b"/%0a%22", "/%0a%22"),
    ],
)
def test_escapes(raw: bytes, shown: str) -> None:
    """S50: what could end a line or a quote, or move a cursor, is shown as its code."""
    record = Record((b"user-agent", raw))
    record.head.target = raw
    assert line("%(r)s|%(a)s|%(U)s", record) == f"GET {shown} HTTP/1.1|{shown}|{shown}"


@pytest.mark.parametrize("format", ["default", "common", "combined", '"%(u)s" "%({x}i)s" %(q)s'])
@given(target=st.binary(), field=st.binary(), user=st.binary())
def test_nothing_can_be_forged(format: str, target: bytes, field: bytes, user: bytes) -> None:
    """S50: whatever a client sends, a line is one line of printable ASCII with its own quotes."""
    names = (b"user-agent", b"referer", b"x")
    record = Record(basic(user), *((name, field) for name in names))
    record.head.target = target
    text = line(format, record)
    assert text.isascii()
    assert text.isprintable()
    plain = line(format)
    assert text.count('"') == plain.count('"')


@given(target=st.binary(), field=st.binary())
def test_json_is_always_json(target: bytes, field: bytes) -> None:
    """S50: whatever a client sends, a JSON line is one line and reads back as it came."""
    record = Record((b"host", field), (b"user-agent", field))
    record.head.target = target
    text = line("json", record)
    assert text.isascii()
    assert "\n" not in text
    entry = json.loads(text)
    assert entry["target"].encode("latin-1") == target
    assert entry["user_agent"].encode("latin-1") == field


@pytest.mark.parametrize(
    "value", [b"Basic", b"Basic !!!", b"Basic ===", b"Bearer abc", b"", b"Basic " + b"\xff"]
)
def test_strange_credentials(value: bytes) -> None:
    """S50: credentials that name no user are nobody's."""
    assert line("%(u)s", Record((b"authorization", value))) == "-"


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
