"""Cookies of sessions, read and written as Werkzeug does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.http import dump_cookie, parse_cookie
from werkzeug.http import http_date as their_date

from bridge.errors import ConfigError
from bridge.sessions.cookies import (
    Cookie,
    cookie_text,
    first_cookie,
    http_date,
    vary_on_cookie,
    warn_if_large,
    with_fields,
)
from tests.support.in_process import http_scope

WHEN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "session=a.b-c_d",
        "a=1; session=two; session=three",
        'session="quoted \\"it\\" \\303\\274"; x=1',
        "session",
        "session=",
        "other=session=1",
        ";;; =x; session = spaced ;",
        'session="open; session=later',
        'bad"name; session=after',
        'session="',
        "",
    ],
)
def test_the_first_cookie_of_a_name_is_read_as_flask_reads_it(text: str) -> None:
    """M40: names, blanks, quotes, escapes, and cookies that are no cookies."""
    assert first_cookie(text, "session") == parse_cookie(text).get("session", "")


@given(st.text(st.sampled_from(' \t=";,\\0317séx\x00'), max_size=30))
def test_no_text_is_an_error(text: str) -> None:
    """M40: whatever comes as cookies is read, as Werkzeug reads it."""
    theirs = parse_cookie(text.encode().decode("latin-1")).get("s", "")
    assert first_cookie(text, "s") == theirs


@pytest.mark.parametrize("shape", ['a={}"', 'a{0}={0}"', '{}"', 'a="{}', "{};"])
def test_spaces_without_end_take_no_time(shape: str) -> None:
    """M40: the time grows with the length of a field, not with its square (which is minutes)."""
    for space in (" ", "\t", "\\"):
        assert first_cookie(shape.format(space * 60_000), "session") == ""


def test_the_fields_of_a_scope_are_one_text() -> None:
    """M40: several fields, and octets that are no UTF-8."""
    headers = [(b"cookie", b"a=1"), (b"host", b"x"), (b"cookie", b"b=\xff")]
    assert cookie_text(http_scope("/", headers=headers)) == "a=1; b=�"
    assert cookie_text(http_scope("/")) == ""


@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"domain": ".example.com:80", "secure": True, "samesite": "lax"},
        {"domain": "bücher.example", "httponly": False, "samesite": "None"},
        {"path": "/ä b;".rstrip(";"), "partitioned": True, "samesite": "Strict"},
        {"name": "__Host-s", "secure": True},
    ],
)
def test_a_cookie_is_written_as_werkzeug_writes_it(flags: dict[str, Any]) -> None:
    """M40: each attribute, byte for byte, kept for a time, for the browser's life, or deleted."""
    ours = Cookie(**{"name": "session", **flags})
    theirs = {"key": "session", "httponly": True, **flags}
    theirs["key"] = theirs.pop("name", "session")
    assert ours.keep("a.b", None).decode() == dump_cookie(value="a.b", **theirs)
    assert ours.keep("a.b", WHEN).decode() == dump_cookie(value="a.b", expires=WHEN, **theirs)
    assert ours.delete().decode() == dump_cookie(value="", expires=0, max_age=0, **theirs)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"name": "a b"}, "session_cookie_name is 'a b'"),
        ({"name": ""}, "session_cookie_name is ''"),
        ({"name": "s", "domain": "x; Secure"}, "session_cookie_domain"),
        ({"name": "s", "path": "/\n"}, "session_cookie_path"),
        ({"name": "s", "samesite": "loose"}, "'Lax', 'Strict'"),
    ],
)
def test_attributes_that_make_no_cookie_are_refused(flags: dict[str, Any], words: str) -> None:
    """M40: the error says which it was, and what is allowed."""
    with pytest.raises(ConfigError, match=words):
        Cookie(**flags)


@pytest.mark.parametrize(
    "time", [WHEN, WHEN.replace(tzinfo=None), WHEN.astimezone(timezone(timedelta(hours=2)))]
)
def test_dates_are_those_of_http(time: datetime) -> None:
    """M40: in any zone, or without one."""
    assert http_date(time) == their_date(time) == "Sun, 01 Mar 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [(b"vary", b"Cookie")]),
        ([(b"Vary", b"Accept")], [(b"Vary", b"Accept, Cookie")]),
        ([(b"vary", b"")], [(b"vary", b"Cookie")]),
        ([(b"vary", b"accept, COOKIE")], [(b"vary", b"accept, COOKIE")]),
        ([(b"vary", b"*")], [(b"vary", b"*")]),
        ([(b"vary", b"a"), (b"vary", b"b")], [(b"vary", b"a"), (b"vary", b"b, Cookie")]),
    ],
)
def test_vary_names_the_cookie_once(before: Any, after: Any) -> None:
    """M40: added to what the app says, if it is not there already."""
    assert vary_on_cookie(before) == after


def test_the_message_of_the_app_is_not_changed() -> None:
    """M40: the app may send the same message again; its own cookies stay."""
    message = {"type": "http.response.start", "status": 200, "headers": [(b"set-cookie", b"a=1")]}
    changed = with_fields(message, [b"b=2"], vary=True)
    assert message["headers"] == [(b"set-cookie", b"a=1")]
    assert changed["headers"] == [
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"vary", b"Cookie"),
    ]
    accept = with_fields({"type": "websocket.accept"}, [b"b=2"], vary=True)
    assert accept["headers"] == [(b"set-cookie", b"b=2")]


def test_a_cookie_that_browsers_drop_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """M40: with its name and its size; a smaller one is not."""
    warn_if_large("session", b"x" * 4093)
    assert caplog.text == ""
    warn_if_large("session", b"x" * 4094)
    assert "the session cookie session has 4094 bytes" in caplog.text
