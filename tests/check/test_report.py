"""The report, for people and as JSON (M51)."""

from __future__ import annotations

import json

from bridge.check.report import as_json, as_text
from tests.support.checking import checked

MOST = 80


def test_it_is_readable_at_80_columns() -> None:
    """M51: all but the last line, which is a command to copy."""
    text = as_text(checked("troubled:not_closing", unsafe=("/post",)))
    *lines, last = text.splitlines()
    assert max(map(len, lines)) <= MOST
    assert last == (
        "Serve it: asgi-bridge serve troubled:not_closing --runner thread --threads 8  "
        "(threads suit every WSGI app)"
    )


def test_it_says_what_was_sent_found_and_not_seen() -> None:
    """M51: severity, text, id, place, advice; and how many requests that is worth."""
    text = as_text(checked("pep3333:writes"))
    flat = " ".join(text.split())
    assert "pep3333:writes is a WSGI app: writes() is a callable that takes" in flat
    assert "note     it calls write(), the oldest way to send a body [write]" in text
    assert "tests/support/apps/awkward/pep3333.py:" in text
    assert "Sent: 3 x GET, HEAD, OPTIONS /; GET /bridge-check-" in flat
    assert "No POST was sent: the app answers a path that cannot exist by 200 OK." in flat
    assert "Not seen in 6 requests: late reads of a body, state kept in threads" in flat
    assert "works" not in text


def test_as_json() -> None:
    """M51: the same, for programs."""
    told = json.loads(json.dumps(as_json(checked("pep3333:twice"))))
    assert told["worst"] == "error"
    (app,) = told["apps"]
    assert (app["kind"], app["requests"]) == ("wsgi", 6)
    (finding,) = app["findings"]
    assert (finding["id"], finding["severity"]) == ("start-twice", "error")
    assert finding["places"][0]["function"] == "twice"
    assert app["ways"]["thread"] == {"fails": ["start-twice"], "care": []}
    assert "write()" in app["not_seen"]
    assert told["serve"]["command"].endswith("--runner thread --threads 8")


def test_findings_that_are_accepted_are_left_out() -> None:
    """M51: what remains decides how bad it is."""
    report = checked("pep3333:twice")
    assert report.worst == "error"
    assert report.without(["start-twice"]).worst == "ok"
