"""Lines of a report."""

from __future__ import annotations

import json

import pytest

from bridge.cutover.shadow.compare import compare
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse, as_fields
from bridge.cutover.shadow.report.lines import compared, line_of, not_compared, target_of

SECRET = "hunter2"
REQUEST = RecordedRequest(
    "GET",
    "/invoices/3",
    f"page=2&token={SECRET}",
    as_fields([("Host", "shop.example"), ("Authorization", SECRET), ("Cookie", f"s={SECRET}")]),
)
JSON = (("content-type", "application/json"), ("set-cookie", f"s={SECRET}"))


def response(body: bytes, error: str | None = None, cut: bool = False) -> RecordedResponse:
    """A response with a body."""
    return RecordedResponse(0 if error else 200, JSON, body, cut, 0.25, error)


def test_a_line_says_what_differs_and_no_secrets() -> None:
    """M12: a line has the request, both outcomes and each difference; secrets are blacked out."""
    old, new = response(b'{"a": 1, "token": "hunter2"}'), response(b'{"a": 2, "token": "x"}')
    line = line_of(compared(1.5, "invoices", REQUEST, old, new, compare(REQUEST, old, new)))
    assert SECRET.encode() not in line
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "time": 1.5,
        "route": "invoices",
        "method": "GET",
        "target": "/invoices/3?page=2&token=***",
        "result": "different",
        "old": {"status": 200, "seconds": 0.25},
        "new": {"status": 200, "seconds": 0.25},
        "how": "json",
        "differences": [
            {"place": "$.a", "pattern": "$.a", "kind": "value", "old": "1", "new": "2"},
            {"place": "$.token", "pattern": "$.token", "kind": "value", "old": "***", "new": "***"},
        ],
        "headers": [["host", "shop.example"], ["authorization", "***"], ["cookie", "s=***"]],
    }


def test_an_equal_line_is_short() -> None:
    """M12: what is equal has neither fields nor differences; a cut body is told."""
    old = response(b"[1, 2", cut=True)
    entry = compared(1.5, "", REQUEST, old, old, compare(REQUEST, old, old))
    assert (entry["result"], entry["truncated"]) == ("equal", True)
    assert not entry.keys() & {"headers", "differences", "more"}


def test_errors_and_more_differences_are_told() -> None:
    """M12: why a side has no response, and that there are more differences, is in the line."""
    old, new = response(b"[]"), response(b"", "ValueError: no")
    entry = compared(1.5, "", REQUEST, old, new, compare(REQUEST, old, new))
    assert entry["new"] == {"status": 0, "seconds": 0.25, "error": "ValueError: no"}
    old, new = response(b"[%s1]" % (b"1," * 99)), response(b"[%s2]" % (b"2," * 99))
    assert compared(1.5, "", REQUEST, old, new, compare(REQUEST, old, new))["more"]


def test_what_was_not_compared_has_a_reason() -> None:
    """M12: a dropped request is a line, too."""
    entry = not_compared(1.5, "invoices", REQUEST, "x" * 5000)
    assert (entry["result"], len(entry["reason"])) == ("dropped", 1000)
    assert not_compared(1.5, "", REQUEST, "gone", "error")["result"] == "error"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/reset/MjM4NzI0NjQyMzg0NzIzNDg3MjM0ODcy/x", "/reset/***/x"),
        ("/" + "0123456789abcdef" * 2, "/***"),
        ("/a-long-post-about-python-3-and-other-things-that-matter",) * 2,
        ("/123e4567-e89b-12d3-a456-426614174000",) * 2,
        ("/" + "/x" * 5000, "/" + ("/x" * 500)[:999]),
    ],
)
def test_targets_have_no_tokens(path: str, shown: str) -> None:
    """M12: parts of paths that look like tokens are blacked out; long targets are cut."""
    assert target_of(RecordedRequest("GET", path)) == shown
