"""Statuses: reason phrases, the range, and which of them have a body (RFC 9110 §15)."""

from __future__ import annotations

from http import HTTPStatus

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_REASONS[499] = "Client Closed Request"  # nginx's; seen in logs only


def reason_phrase(status: int) -> str:
    """Return the standard reason phrase of a status; ``Unknown`` if it has none."""
    return _REASONS.get(status, "Unknown")


def is_final(status: int) -> bool:
    """Whether a response may have this status; 1xx are only sent before a response."""
    return 200 <= status <= 999


def has_no_body(status: int) -> bool:
    """Whether a response with this status has no body whatever its fields say (RFC 9110 §6.4.1)."""
    return status < 200 or status in (204, 304)
