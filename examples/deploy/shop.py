"""What the recipes in this folder deploy; an app of any kind takes its place.

asgi-bridge serve --app-dir examples/deploy shop:app
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

VERSION = "1"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Say hello, and from which version."""
    body = f"Hello from version {VERSION}\n".encode()
    start_response(
        "200 OK",
        [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
    )
    return [body]
