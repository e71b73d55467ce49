"""The loop of the server, found by asgiref and anyio whenever they are imported."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bridge.runners.interop import publish_loop

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
    get = asyncio.get_running_loop
    assert await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(get)) is loop
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


IMPORTED_BEFORE = """
import asyncio, contextvars, sys
import anyio.from_thread
from asgiref.sync import async_to_sync
from bridge.runners import make_runner
from tests.runners.jobs import Call

variable = contextvars.ContextVar("variable", default="unset")
other = contextvars.ContextVar("other")

async def running_loop():
    await asyncio.sleep(0)
    variable.set("set")
    return asyncio.get_running_loop()

def job():
    other.set("kept")
    loops = {anyio.from_thread.run(running_loop)}
    loops.add(anyio.from_thread.run_sync(asyncio.get_running_loop))
    assert variable.get() == "unset"
    loops.add(async_to_sync(running_loop)())
    assert (variable.get(), other.get()) == ("set", "kept")
    return loops

async def main():
    for runner in (make_runner(sys.argv[1]), make_runner(sys.argv[1])):
        runner.start(asyncio.get_running_loop())
        call = Call(job)
        runner.submit(call)
        assert await call.done == {asyncio.get_running_loop()}
        assert await runner.stop(10)

asyncio.run(main())
print("ok")
"""


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
def test_imported_before_the_runner_starts(runner: str) -> None:
    """W51: they wait on the server's loop, and context variables come back as with asgiref."""
    argv = [sys.executable, "-c", IMPORTED_BEFORE, runner]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("ok\n", "", 0)


STRANGE = """
import asyncio, sys
when, runner = sys.argv[1:]
if when == "before":
    import anyio._backends._asyncio, asgiref.sync
from bridge.runners import make_runner
from tests.runners.jobs import Call

def job():
    import anyio._backends._asyncio, asgiref.sync
    return "ran"

async def main():
    used = make_runner(runner)
    used.start(asyncio.get_running_loop())
    for _ in range(2):
        call = Call(job)
        used.submit(call)
        assert await call.done == "ran"
    assert await used.stop(10)

asyncio.run(main())
"""


@pytest.mark.parametrize("runner", ["thread", "greenlet"])
@pytest.mark.parametrize("when", ["before", "in a job"])
def test_a_version_that_is_not_known(when: str, runner: str, tmp_path: Path) -> None:
    """W51: the app runs without it, and the log says so once."""
    for name in ("asgiref", "anyio", "anyio/_backends"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    for name in ("asgiref/sync.py", "anyio/_backends/_asyncio.py"):
        (tmp_path / name).touch()
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", str(Path.cwd()))))
    ran = subprocess.run(
        [sys.executable, "-c", STRANGE, when, runner],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    warned = [line for line in ran.stderr.splitlines() if "find the server's loop" in line]
    assert sum("asgiref.sync in WSGI apps" in line for line in warned) == 1
    assert len(warned) == len(set(warned))


def test_a_library_that_is_just_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """W51: is left alone, and `publish_loop` says that it has to be called again."""
    module: Any = ModuleType("asgiref.sync")
    module.__spec__ = ModuleSpec("asgiref.sync", None)
    module.__spec__._initializing = True
    monkeypatch.setitem(sys.modules, "asgiref.sync", module)
    loop = asyncio.new_event_loop()
    published: list[bool] = []
    thread = threading.Thread(target=lambda: published.append(publish_loop(loop)))
    thread.start()
    thread.join()
    loop.close()
    assert published == [False]


def test_anyio_before_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """W51: until anyio 4.11 the loop itself was the token."""
    import anyio.from_thread
    import anyio.lowlevel
    from anyio._core._eventloop import threadlocals

    if hasattr(anyio.lowlevel, "EventLoopToken"):
        monkeypatch.delattr(anyio.lowlevel, "EventLoopToken")
    loop = asyncio.new_event_loop()
    seen: list[Any] = []

    def publish() -> None:
        assert publish_loop(loop)
        seen.extend((threadlocals.current_token, threadlocals.current_async_backend.__name__))

    thread = threading.Thread(target=publish)
    thread.start()
    thread.join()
    loop.close()
    assert seen == [loop, "AsyncIOBackend"]
