"""Statuses: phrases, the range, and bodies."""

from __future__ import annotations

from bridge.http.status import has_no_body, is_final, reason_phrase


def test_reason_phrases() -> None:
    """S6, A25: each status has one, also one that is not registered."""
    assert [reason_phrase(status) for status in (200, 404, 499, 799)] == [
        "OK",
        "Not Found",
        "Client Closed Request",
        "Unknown",
    ]


def test_what_a_response_may_have() -> None:
    """A20, W34: three digits from 200 up; 1xx come before a response."""
    assert [status for status in range(-1, 1100) if is_final(status)] == list(range(200, 1000))


def test_without_a_body() -> None:
    """W35, A25: 1xx, 204 and 304 (RFC 9110 §6.4.1)."""
    assert [status for status in range(190, 600) if has_no_body(status)] == [
        *range(190, 200),
        204,
        304,
    ]
