"""Which requests change nothing, so that they may be asked again (M10, M13). Pure.

A method says so, but not alone: many apps take the real one from a field or from the query, so that
a form or a proxy that knows only GET and POST can ask for DELETE.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_plus, unquote_to_bytes

from bridge.cutover.shadow.records import RecordedRequest

#: The methods that change nothing.
SAFE: Final = ("GET", "HEAD", "OPTIONS")

#: The fields, and the keys of queries, that apps take another method from.
_FIELDS: Final = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})
_KEYS: Final = _FIELDS | {"_method", "__method", "_http_method", "http_method", "method_override"}
_IN_BODY: Final = b"_method"
_PARTS: Final = re.compile("[&;]")


def is_safe(request: RecordedRequest) -> bool:
    """Whether a request may be asked again: its method changes nothing, and is the real one."""
    return request.method in SAFE and not overrides_method(request)


def overrides_method(request: RecordedRequest, body: bytes = b"") -> bool:
    """Whether an app may take another method from a request, one that changes something.

    `body` is that of the request, if it is not in `request`.
    """
    for name, value in request.headers:
        if name.replace("_", "-") in _FIELDS and not _is_safe(value):
            return True
    if request.query:
        for pair in _PARTS.split(request.query):
            key, _, value = pair.partition("=")
            if unquote_plus(key).strip().lower() in _KEYS and not _is_safe(unquote_plus(value)):
                return True
    body = body or request.body
    return bool(body) and _IN_BODY in unquote_to_bytes(body).lower()


def _is_safe(method: str) -> bool:
    return method.strip().upper() in SAFE
