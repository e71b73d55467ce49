"""Apps that move money between accounts, many requests at once, each in a transaction of its own.

A request `/NUMBER` does one of three things, told by its number (`kind`): it moves money, it moves
money and takes that back with an exception, or it looks at all accounts twice. `?sleep=0.2` is how
long the database sleeps in it, and `?pause=0.01` how long it waits for the event loop, before it
locks anything. It answers what it has seen, as JSON; `/peak` tells how many were in the database at
once. `BANK_URL` names the database. `tests/support/banks.py` asks, and knows what is right.

Each has a `wsgi`; and an `asgi` for other servers, whose requests are greenlets. With `BANK_PATCH`,
`bridge.greenlet_patch()` is called before anything else.
"""

from __future__ import annotations

import os

import bridge

if os.environ.get("BANK_PATCH"):
    bridge.greenlet_patch()

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

ACCOUNTS = 20
#: What is on each account at first.
BALANCE = 1000


class Taken(Exception):
    """The transfer is taken back."""


def kind(number: int) -> str:
    """What request `number` does."""
    return ("transfer", "transfer", "taken back", "audit")[number % 4]


def parties(number: int) -> tuple[int, int]:
    """The accounts that request `number` takes from and gives to."""
    source = number % ACCOUNTS + 1
    return source, (source + number // ACCOUNTS % (ACCOUNTS - 1)) % ACCOUNTS + 1


def pause(seconds: float) -> None:
    """Give the thread to the event loop, patched or not."""
    if seconds:
        bridge.await_(asyncio.sleep(seconds))


class Peak:
    """How many are inside at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside for a block."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1
