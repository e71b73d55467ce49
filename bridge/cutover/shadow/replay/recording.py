"""Our own recording: a line of JSON for each request (M13). Pure.

    {"method": "GET", "target": "/invoices/3?page=2", "scheme": "https",
     "headers": [["host", "shop.example"], ["accept", "*/*"]], "body": "..."}

`body` is text, or base64 with ``"encoding": "base64"``; ``"truncated": true`` says that it is only
a beginning. Fields and bodies have no secrets any more: where one was, stars are.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from bridge.cutover.shadow.records import Fields, RecordedRequest, as_fields
from bridge.cutover.shadow.report.lines import blacked_target
from bridge.cutover.shadow.secrets import BLACK, blacked_body, blacked_fields


class BrokenEntry(ValueError):
    """An entry of a recording that is no request; the text says why."""


def line_of(request: RecordedRequest) -> bytes:
    """Return a request as a line, without secrets; a body that may have some is left out."""
    body = blacked_body(request.headers, request.body)
    entry: dict[str, Any] = {
        "method": request.method,
        "target": blacked_target(request),
        "scheme": request.scheme,
        "headers": [list(pair) for pair in blacked_fields(request.headers)],
    }
    if body is None or request.truncated:
        entry["truncated"] = True
    elif body:
        try:
            entry["body"] = body.decode()
        except UnicodeDecodeError:
            entry |= {"body": base64.b64encode(body).decode(), "encoding": "base64"}
    return json.dumps(entry).encode() + b"\n"


def request_from(entry: object) -> RecordedRequest:
    """Return the request of a line's JSON. Raises `BrokenEntry`."""
    if not isinstance(entry, dict):
        raise BrokenEntry("it is no object")
    method, target = entry.get("method"), entry.get("target")
    if not isinstance(method, str) or not isinstance(target, str) or target[:1] not in ("/", "*"):
        raise BrokenEntry("it has no method, or no target that begins with a slash")
    path, _, query = target.partition("?")
    scheme = entry.get("scheme", "http")
    return RecordedRequest(
        method,
        path,
        query,
        fields_of(entry.get("headers", [])),
        _body(entry),
        bool(entry.get("truncated", False)),
        scheme if scheme in ("http", "https") else "http",
    )


def fields_of(pairs: object) -> Fields:
    """Return fields from a list of pairs. Raises `BrokenEntry`."""
    if not isinstance(pairs, list):
        raise BrokenEntry("its headers are no list")
    found = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(e) is str for e in pair):
            raise BrokenEntry("its headers are no pairs of texts")
        found.append((pair[0], pair[1]))
    return as_fields(found)


def _body(entry: dict[str, Any]) -> bytes:
    body = entry.get("body", "")
    if not isinstance(body, str):
        raise BrokenEntry("its body is no text")
    if entry.get("encoding") != "base64":
        return body.encode("utf-8", "surrogatepass")
    return decoded(body)


def decoded(text: str) -> bytes:
    """Return what base64 says. Raises `BrokenEntry`."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BrokenEntry("its body is no base64") from None


def without_black(headers: Fields) -> Fields:
    """Return fields without those whose secrets were blacked out: nobody could use them."""
    found: list[tuple[str, str]] = []
    for name, value in headers:
        if name == "cookie":
            value = "; ".join(
                pair.strip() for pair in value.split(";") if not pair.strip().endswith(f"={BLACK}")
            )
        if value and BLACK not in value:
            found.append((name, value))
    return tuple(found)
