"""What a report says of one request: a line of JSON without secrets (M12). Pure.

    {"time": 1795766400.0, "route": "invoices", "method": "GET", "target": "/invoices/3",
     "result": "different", "old": {"status": 200, "seconds": 0.012}, "new": {...},
     "how": "json", "differences": [{"place": "$.total", "pattern": "$.total",
     "kind": "number", "old": "9.90", "new": "9.9"}], "headers": [["accept", "*/*"]]}

Results: ``equal``, ``different``, ``dropped`` (not copied or not compared, with a ``reason``), and
``error`` (one side could not be asked). The request's fields are there only if something differs.
An entry of requests that were dropped may stand for several: ``count``, without their targets.
"""

from __future__ import annotations

import json
from typing import Any, Final

from bridge.cutover.shadow.compare import Comparison
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.secrets import blacked_fields, blacked_url

EQUAL, DIFFERENT, DROPPED, ERROR = "equal", "different", "dropped", "error"

#: The most characters of a target, of a field's value, and of a reason.
_MOST: Final = 1_000
#: The most fields of a request.
_MOST_FIELDS: Final = 40

Entry = dict[str, Any]


def compared(
    time: float,
    route: str,
    request: RecordedRequest,
    old: RecordedResponse,
    new: RecordedResponse,
    comparison: Comparison,
) -> Entry:
    """Return the entry of a request that both sides have answered."""
    entry = _request(time, route, request, EQUAL if comparison.equal else DIFFERENT)
    entry |= {"old": _side(old), "new": _side(new), "how": comparison.how}
    if comparison.truncated:
        entry["truncated"] = True
    if comparison.more:
        entry["more"] = True
    if not comparison.equal:
        entry["differences"] = [
            {
                "place": each.place,
                "pattern": each.pattern,
                "kind": each.kind,
                "old": each.old,
                "new": each.new,
            }
            for each in comparison.differences
        ]
        fields = blacked_fields(request.headers[:_MOST_FIELDS])
        entry["headers"] = [[name, value[:_MOST]] for name, value in fields]
    return entry


def not_compared(
    time: float, route: str, request: RecordedRequest, reason: str, result: str = DROPPED
) -> Entry:
    """Return the entry of a request that was not compared, and why."""
    return {**_request(time, route, request, result), "reason": reason[:_MOST]}


def dropped(time: float, route: str, reason: str, count: int) -> Entry:
    """Return the entry of `count` requests of a route that were not copied, for one reason."""
    return {
        "time": round(time, 3),
        "route": route[:_MOST],
        "result": DROPPED,
        "reason": reason[:_MOST],
        "count": count,
    }


def line_of(entry: Entry) -> bytes:
    """Return an entry as it is in the file."""
    return json.dumps(entry).encode() + b"\n"


def target_of(request: RecordedRequest) -> str:
    """Return path and query of a request without secrets, and not too long."""
    return blacked_target(request)[:_MOST]


def blacked_target(request: RecordedRequest) -> str:
    """Return path and query of a request without secrets."""
    return blacked_url(request.target)


def _request(time: float, route: str, request: RecordedRequest, result: str) -> Entry:
    return {
        "time": round(time, 3),
        "route": route[:_MOST],
        "method": request.method[:20],
        "target": target_of(request),
        "result": result,
    }


def _side(response: RecordedResponse) -> Entry:
    side: Entry = {"status": response.status, "seconds": round(response.seconds, 6)}
    if response.error is not None:
        side["error"] = response.error[:_MOST]
    return side
