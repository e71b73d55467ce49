"""Which side a client of a canary belongs to: drawn once, kept in a cookie.

The cookie holds a number below 100. Clients with a number below the share of a route are served by
the new app. So all requests of one client go the same way, and when a share is raised, those that
were on the new app stay there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from random import random
from typing import Final

COOKIE: Final = "bridge_canary"
#: Seconds that a browser keeps it: 30 days.
_AGE: Final = 30 * 24 * 3600
_KEPT: Final = re.compile(rb"(?:^|[;\s])%b=(\d{1,2}\.\d{2})(?:[;\s]|$)" % COOKIE.encode())


def number_of(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    """Return the number that the client was given; None if it has none, or a wrong one."""
    for name, value in headers:
        if name.lower() == b"cookie" and (found := _KEPT.search(value)):
            return float(found[1])
    return None


def draw(draw_one: Callable[[], float] = random) -> tuple[float, bytes]:
    """Draw a number for a client, and return it with the Set-Cookie value that keeps it."""
    number = int(draw_one() * 10_000) / 100
    return number, f"{COOKIE}={number:.2f}; Path=/; Max-Age={_AGE}; HttpOnly; SameSite=Lax".encode()
