"""Which event loop: uvloop's if it is installed, else asyncio's; a selector's under gevent."""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Callable
from typing import Any

from bridge.loops.hidden import call_without_loop
from bridge.loops.waiters import threading_is_patched

_make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
try:
    from uvloop import new_event_loop as _uvloop
except ImportError:
    pass  # not on Windows, nor if only the pure parts are installed
else:
    _make_loop = _uvloop


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Make an event loop: uvloop's if it is installed, else asyncio's.

    If gevent has replaced `threading`, it is asyncio's on gevent's selector, to be made in the
    thread that will run it: "threads" started from the loop are greenlets of that thread then,
    and run while the loop waits.
    """
    if threading_is_patched():
        _hide_the_loop_from_greenlets()
        return asyncio.SelectorEventLoop(selectors.DefaultSelector())
    return _make_loop()


def _hide_the_loop_from_greenlets() -> None:
    """Give this thread a hub that takes the running loop along at each switch.

    Greenlets run in the thread of the loop, but not in the loop: code that asks whether a loop is
    running (Django's ORM, ``asyncio.run``) must see none.
    """
    hub = sys.modules["gevent.hub"]

    class Hub(hub.Hub):  # type: ignore[misc, name-defined]
        def switch(self) -> Any:
            return call_without_loop(super().switch)

    hub.set_hub(Hub())
