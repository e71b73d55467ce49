"""Formats of the access log: every atom, and no line that a client could forge."""

from __future__ import annotations

import base64
import json
import os
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ConfigError
from bridge.server.logs.access_format import FORMATS, compile_format, uses_duration
from bridge.server.logs.served import Served
from tests.support.records import Record

TIME = r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"


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
    record.connection.identity.client = None
    assert line("default", record).startswith('unix - "GET ')
    assert line("common", record).startswith("- - - [")


def test_the_client_that_a_proxy_names() -> None:
    """S50: behind a trusted proxy the line names the client, not the proxy."""
    record = Record()
    record.request.client = ("203.0.113.9", 0)
    assert line("default", record).startswith("203.0.113.9:0 - ")
    assert line("%(h)s", record) == "203.0.113.9"


def test_colour() -> None:
    """S50: on a terminal the status has its colour, and nothing else has one."""
    plain, coloured = line("default"), compile_format(FORMATS["default"], colour=True)(Record())
    assert coloured == plain.replace("200 OK", "\x1b[32m200 OK\x1b[0m")


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


def test_who_answered() -> None:
    """M2: the route and the side behind a cutover, else dashes."""
    record = Record()
    assert line("%(route)s %(side)s", record) == "- -"
    record.served = Served("invoices", "new", b"")
    assert line("%(route)s %(side)s", record) == "invoices new"


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
    record.request.http11 = False
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
def test_tells_time(format: str, timed: bool) -> None:
    """S50: requests are timed only where a line tells of it."""
    assert uses_duration(FORMATS.get(format, format)) is timed


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
    record.request.target = raw
    assert line("%(r)s|%(a)s|%(U)s", record) == f"GET {shown} HTTP/1.1|{shown}|{shown}"


@pytest.mark.parametrize("format", ["default", "common", "combined", '"%(u)s" "%({x}i)s" %(q)s'])
@given(target=st.binary(), field=st.binary(), user=st.binary())
def test_nothing_can_be_forged(format: str, target: bytes, field: bytes, user: bytes) -> None:
    """S50: whatever a client sends, a line is one line of printable ASCII with its own quotes."""
    names = (b"user-agent", b"referer", b"x")
    record = Record(basic(user), *((name, field) for name in names))
    record.request.target = target
    text = line(format, record)
    assert text.isascii()
    assert text.isprintable()
    plain = line(format)
    assert text.count('"') == plain.count('"')


@given(target=st.binary(), field=st.binary())
def test_json_is_always_json(target: bytes, field: bytes) -> None:
    """S50: whatever a client sends, a JSON line is one line and reads back as it came."""
    record = Record((b"host", field), (b"user-agent", field))
    record.request.target = target
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
