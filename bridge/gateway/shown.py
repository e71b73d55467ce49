"""How requests are named in the log of gateways and workers (rule L13)."""

from __future__ import annotations

from urllib.parse import quote

from bridge.http.paths import PATH_CHARACTERS
from bridge.types import Scope


def shown_path(scope: Scope) -> str:
    """Return the path of a request percent-encoded: what a client sends begins no line."""
    return quote(str(scope.get("path", "")), safe=PATH_CHARACTERS, errors="replace")


def shown_request(scope: Scope) -> str:
    """Return the method of a request, or "WebSocket", and its path."""
    return f"{scope.get('method', 'WebSocket')} {shown_path(scope)}"
