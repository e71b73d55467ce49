"""A middleware that is synchronous only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def sync_only(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Mark each response."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        response["X-Marked"] = "yes"
        return response

    return middleware
