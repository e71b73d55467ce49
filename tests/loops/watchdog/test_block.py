"""How a block is told in words."""

from __future__ import annotations

import pytest

from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.stack import Place, Stack

VIEW, INNER = Place("app.py", 3, "view"), Place("/usr/lib/site-packages/c.py", 9, "read")


@pytest.mark.parametrize(
    ("places", "request_", "by"),
    [
        ((VIEW,), "GET /", "by GET /, at app.py:3 in view"),
        ((VIEW,), "", "at app.py:3 in view"),
        ((VIEW, INNER), "GET /", f"by GET /, at app.py:3 in view, in {INNER}"),
        ((INNER,), "", f"at {INNER}"),
    ],
)
def test_what_blocks_is_the_request_and_the_line(
    places: tuple[Place, ...], request_: str, by: str
) -> None:
    """R3: a request that is not known is not named; a library is, beside the app's own line."""
    stack = Stack(places, 0, request_, "", in_greenlet=False, is_debugged=False)
    assert Block(stack, 1, 0.0, alone=False).by == by


@pytest.mark.parametrize(
    ("seconds", "lasted", "text"),
    [
        (0.3, 0.32, "0.30 s"),
        (0.1, 1.0, "0.10 s (of 1.00 s; for the rest it could not run)"),
    ],
)
def test_the_time_of_the_call_itself_is_told(seconds: float, lasted: float, text: str) -> None:
    """R3: and how long it took, if that was much longer."""
    stack = Stack((VIEW,), 0, "", "", in_greenlet=False, is_debugged=False)
    block = Block(stack, 1, 0.0, alone=False, seconds=seconds, lasted=lasted)
    assert block.duration == text
