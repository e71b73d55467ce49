"""Findings are collected, and each is told once (M51)."""

from __future__ import annotations

from bridge.check.findings import Findings
from bridge.loops.watchdog.stack import Place


def test_the_same_thing_at_several_places_is_one_finding() -> None:
    """M51: with at most five places, each once."""
    findings = Findings()
    for line in (1, 1, 2, 3, 4, 5, 6):
        findings.add("write", Place("shop.py", line, "app"))
    (finding,) = findings
    assert len(finding.places) == 5
    assert finding.places[0].line == 1
    assert finding.severity == "note"


def test_values_stand_in_text_and_advice() -> None:
    """M51: an entry of the catalogue is filled in; other values make another finding."""
    findings = Findings()
    findings.add("session-kept", what="db.session")
    findings.add("session-kept", what="other")
    first, second = findings
    assert first.text.endswith("when a request is over: db.session")
    assert first.advice.startswith("Call db.session.remove()")
    assert second.text != first.text


def test_the_worst_comes_first() -> None:
    """M51: errors, warnings, notes; and what is worst is known."""
    findings = Findings()
    assert findings.worst == "ok"
    for id in ("write", "start-twice", "late-read"):
        findings.add(id)
    assert [each.severity for each in findings] == ["error", "warning", "note"]
    assert findings.worst == "error"
    assert "write" in findings
    assert "endless" not in findings


def test_what_is_the_same_in_another_request_is_not_told_again() -> None:
    """M51: an equal key means that it was told."""
    findings = Findings()
    for request in ("GET /", "HEAD /"):
        findings.add_once("key", "raises", request=request, error="ValueError")
    findings.add_once("other", "raises", request="GET /x", error="KeyError")
    assert [each.text for each in findings] == ["GET / raises ValueError", "GET /x raises KeyError"]
