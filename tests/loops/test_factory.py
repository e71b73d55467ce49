"""Which event loop is made: uvloop's, asyncio's, or one in which gevent's greenlets run."""

from __future__ import annotations

import asyncio
import builtins
import importlib
import subprocess
import sys
from typing import Any

import pytest
import uvloop

from bridge.loops import factory


def test_uvloop_if_it_is_installed() -> None:
    """The loop is uvloop's if that is installed."""
    loop = factory.new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()


def test_asyncio_if_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without uvloop, which Windows has not, the loop is asyncio's."""
    imported = builtins.__import__

    def without_uvloop(name: str, *more: Any) -> Any:
        if name == "uvloop":
            raise ImportError(name)
        return imported(name, *more)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(builtins, "__import__", without_uvloop)
            importlib.reload(factory)
        loop = factory.new_event_loop()
        assert isinstance(loop, asyncio.BaseEventLoop)
        loop.close()
    finally:
        importlib.reload(factory)


PATCHED = """
import gevent.monkey
gevent.monkey.patch_all()
import asyncio, threading
from bridge.loops.factory import new_event_loop
from bridge.loops.waiters import waits_in_gevent

seen = []

def greenlet(event):
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        seen.append("no loop")
    loop.call_soon_threadsafe(event.set)

async def main():
    event = asyncio.Event()
    threading.Thread(target=greenlet, args=(event,)).start()
    await event.wait()
    assert asyncio.get_running_loop() is loop

loop = new_event_loop()
assert waits_in_gevent(loop), loop
loop.run_until_complete(main())
loop.close()
print(seen)
"""


def test_greenlets_run_while_the_loop_waits() -> None:
    """A33: if gevent has replaced threads, they run while the loop waits, and see no loop."""
    ran = subprocess.run(
        [sys.executable, "-c", PATCHED], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("['no loop']\n", "")
