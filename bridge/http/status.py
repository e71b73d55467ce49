"""Statuses: their reason phrases, and which of them have a body (RFC 9110 §15)."""

from __future__ import annotations

from http import HTTPStatus

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_REASONS[499] = "Client Closed Request"  # nginx's; nobody reads it but the log


def reason_phrase(status: int) -> str:
    """The standard reason phrase of a status; ``Unknown`` where there is none."""
    return _REASONS.get(status, "Unknown")


def has_no_body(status: int) -> bool:
    """Whether a response with this status has no body whatever its fields say (RFC 9110 §6.4.1)."""
    return status < 200 or status in (204, 304)
