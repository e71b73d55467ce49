"""The loop of the server, found by asgiref and anyio whenever they are imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Four jobs at once each import a library and use it: one of them is the first.
FIRST_IMPORT = """
import asyncio, sys, threading
from bridge.runners import make_runner
from tests.runners.jobs import Call

for name in sys.argv[3:]:
    __import__(name)
# A part of a library may import the rest: that depends on its version.
assert sys.argv[2] not in sys.modules or sys.argv[3:]

async def running_loop():
    await asyncio.sleep(0)
    return asyncio.get_running_loop()

def use_asgiref():
    from asgiref.sync import async_to_sync
    return async_to_sync(running_loop)()

def use_anyio():
    from anyio.from_thread import run
    return run(running_loop)

uses = {"asgiref.sync": use_asgiref, "anyio.from_thread": use_anyio}
together = threading.Barrier(4)

async def main():
    runner = make_runner(sys.argv[1], threads=4)
    runner.start(asyncio.get_running_loop())

    def job():
        if runner.threaded:
            together.wait()
        return uses[sys.argv[2]]()

    calls = [Call(job) for _ in range(4)]
    for call in calls:
        runner.submit(call)
    for call in calls:
        assert await call.done is asyncio.get_running_loop()
    assert await runner.stop(10)

asyncio.run(main())
print("ok")
"""


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
@pytest.mark.parametrize(
    "imports", [("asgiref.sync",), ("anyio.from_thread",), ("anyio.from_thread", "anyio")]
)
def test_first_import(runner: str, imports: tuple[str, ...]) -> None:
    """W51: the first use finds the server's loop, also if several jobs import the library at once.

    Also if the rest of the library is there already.
    """
    for _ in range(3):
        argv = [sys.executable, "-c", FIRST_IMPORT, runner, *imports]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert (ran.stdout, ran.stderr, ran.returncode) == ("ok\n", "", 0)


def test_nobody_else_is_affected() -> None:
    """W51: outside of WSGI apps both libraries do what they always do."""
    script = """
import asyncio, threading
from bridge.runners import make_runner
from tests.runners.jobs import Call

async def nothing(): return asyncio.get_running_loop()

async def main():
    runners = [make_runner(name) for name in ("thread", "greenlet")]
    for runner in runners:
        runner.start(asyncio.get_running_loop())
    from asgiref.sync import async_to_sync, sync_to_async
    import anyio.from_thread, anyio.to_thread
    loop = asyncio.get_running_loop()
    assert await sync_to_async(lambda: async_to_sync(nothing)())() is loop
    assert await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(nothing)) is loop
    assert await asyncio.to_thread(lambda: async_to_sync(nothing)()) is not loop
    for wrong in (async_to_sync(nothing), lambda: anyio.from_thread.run(nothing)):
        try:
            wrong()
        except Exception as error:
            print(type(error).__name__)
    def strange():
        try:
            anyio.from_thread.run(nothing)
        except Exception as error:
            print(type(error).__name__)
    await asyncio.to_thread(strange)
    for runner in runners:
        assert await runner.stop(10)

asyncio.run(main())
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert ran.stderr == ""
    assert ran.stdout.split()[0] == "RuntimeError"
    assert ran.stdout.split()[2] in ("NoEventLoopError", "RuntimeError")  # before anyio 4.11
