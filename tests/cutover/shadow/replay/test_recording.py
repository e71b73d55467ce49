"""Our own recording."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.shadow.records import RecordedRequest, as_fields
from bridge.cutover.shadow.replay.recording import (
    BrokenEntry,
    line_of,
    request_from,
    without_black,
)

FORM = as_fields([("Content-Type", "application/x-www-form-urlencoded")])


def back(request: RecordedRequest) -> RecordedRequest:
    """What is read of a line that was written."""
    return request_from(json.loads(line_of(request)))


@given(
    st.sampled_from(["GET", "POST"]),
    st.text("abc/%0123", max_size=20),
    st.text("abc=&%", max_size=20),
    st.binary(max_size=20),
)
def test_a_request_comes_back(method: str, path: str, query: str, value: bytes) -> None:
    """M13: what is written of a request is read again, each byte of its fields, too."""
    fields = (("host", "shop.example"), ("x-any", value.decode("latin-1")))
    request = RecordedRequest(method, f"/{path}", query, fields, scheme="https")
    assert back(request) == request


def test_bodies_come_back_without_secrets() -> None:
    """M13: bodies are kept as text or base64, without secrets; a cut or unknown one is not."""
    form = RecordedRequest("POST", "/", "", FORM, b"user=me&password=hunter2")
    assert back(form).body == b"user=me&password=***"
    odd = RecordedRequest("POST", "/", "", FORM, b"user=\xff")
    assert back(odd).body == b"user=\xff"
    for request in (
        RecordedRequest("POST", "/", "", FORM, b"user=m", truncated=True),
        RecordedRequest("POST", "/", "", (("content-type", "image/png"),), b"\x89PNG"),
    ):
        assert (back(request).body, back(request).truncated) == (b"", True)


def test_secrets_of_the_head_are_not_recorded() -> None:
    """M13: log-ins, cookies and secret parts of targets are blacked out."""
    fields = as_fields([("Cookie", "s=hunter2"), ("Authorization", "Bearer hunter2")])
    line = line_of(RecordedRequest("GET", "/a", "token=hunter2&b=1", fields))
    assert b"hunter2" not in line
    assert b"/a?token=***&b=1" in line


def test_what_was_blacked_out_is_not_sent() -> None:
    """M13: fields and cookies that have lost their secrets are left out of a replay."""
    fields = as_fields(
        [("Cookie", "a=***; b=2"), ("cookie", "c=***"), ("authorization", "Bearer ***"), ("x", "y")]
    )
    assert without_black(fields) == (("cookie", "b=2"), ("x", "y"))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ([], "no object"),
        ({"method": "GET"}, "no target"),
        ({"method": "GET", "target": "http://x/"}, "begins with a slash"),
        ({"method": 1, "target": "/"}, "no method"),
        ({"method": "GET", "target": "/", "headers": {}}, "no list"),
        ({"method": "GET", "target": "/", "headers": [["a"]]}, "no pairs"),
        ({"method": "GET", "target": "/", "headers": [["a", 1]]}, "no pairs"),
        ({"method": "GET", "target": "/", "body": 1}, "no text"),
        ({"method": "GET", "target": "/", "body": "?", "encoding": "base64"}, "no base64"),
    ],
)
def test_broken_entries_say_why(entry: object, why: str) -> None:
    """M13: an entry that is no request says what is wrong with it."""
    with pytest.raises(BrokenEntry, match=why):
        request_from(entry)


def test_an_odd_scheme_is_http() -> None:
    """M13: a scheme that is none of the two is not used."""
    assert request_from({"method": "GET", "target": "/", "scheme": "ftp"}).scheme == "http"
