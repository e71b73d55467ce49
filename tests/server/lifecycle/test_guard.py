"""The guard: a process that is told to end does, whatever its main thread does (P2)."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.site import STUCK, app_source, is_pending, running
from tests.support.waiting import eventually

HANGS = {
    "swallows all": "while True:\n    try:\n        import time; time.sleep(9)\n"
    "    except BaseException:\n        print('again', flush=True)\n",
    "in C code": f"{STUCK}\nstuck()\n",
}


@pytest.mark.parametrize("hangs", HANGS.values(), ids=HANGS.keys())
def test_import_that_cannot_be_interrupted(tmp_path: Path, hangs: str) -> None:
    """P2: a second SIGINT ends the process, whatever the import does."""
    with running(tmp_path, f"print('begun', flush=True)\n{hangs}") as server:
        server.wait_for("begun")
        server.tell(signal.SIGINT)
        if "again" in hangs:
            server.wait_for("again")
        else:
            eventually(lambda: not is_pending(server.process.pid, signal.SIGINT))
        server.tell(signal.SIGINT)
        # Or it was interrupted just before it got stuck, and the second one came at the very end.
        assert server.process.wait(15) in (130, 0, -signal.SIGINT)


# ------------------------------------------------------------- while something blocks


@pytest.mark.parametrize("hangs", ["time.sleep(1000)", "stuck()"])
def test_blocking_lifespan(tmp_path: Path, hangs: str) -> None:
    """P2: a startup that blocks the loop ends with a second SIGINT, and after SIGTERM in 5 s."""
    for numbers, code in (([signal.SIGINT] * 2, 130), ([signal.SIGTERM], 143)):
        source = STUCK + app_source(start=f"print('begun', flush=True); {hangs}")
        with running(tmp_path, source) as server:
            server.wait_for("begun")
            for number in numbers:
                eventually(lambda: not is_pending(server.process.pid, signal.SIGINT))
                server.tell(number)
            assert server.process.wait(20) == code


@pytest.mark.parametrize("hangs", ["time.sleep(1000)", "stuck()"])
def test_blocked_loop(tmp_path: Path, hangs: str) -> None:
    """P2: a handler that blocks the loop is cut by a second SIGINT."""
    with running(tmp_path, STUCK + app_source(hangs)) as server, server.ask():
        server.tell(signal.SIGINT)
        eventually(lambda: not is_pending(server.process.pid, signal.SIGINT))
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == 130


@pytest.mark.parametrize("hangs", ["time.sleep, 1000", "stuck"])
def test_hung_thread_of_the_loop(tmp_path: Path, hangs: str) -> None:
    """P2: ``asyncio.to_thread`` that never ends: cut by a second SIGINT, and by the grace."""
    source = STUCK + app_source(f"await asyncio.to_thread({hangs})")
    with running(tmp_path, source) as server, server.ask():
        server.tell(signal.SIGINT)
        server.wait_for("stopping: 1 request is still busy")
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == 0
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.3") as server, server.ask():
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert "left threads behind" in server.log()


def test_hung_thread_of_the_pool(tmp_path: Path) -> None:
    """P2: a WSGI app that never returns: cut by a second SIGINT, and by the grace."""
    source = (
        f"{STUCK}\ndef app(environ, start_response):\n    print('asked', flush=True)\n    stuck()"
    )
    with running(tmp_path, source) as server, server.ask():
        server.tell(signal.SIGINT)
        server.wait_for("stopping: 1 request is still busy")
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == 0
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.3") as server, server.ask():
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0


def test_thread_of_the_app_that_never_ends(tmp_path: Path) -> None:
    """P2: nor do the app's own threads keep the process beyond the grace."""
    thread = "threading.Thread(target=time.sleep, args=[1000]).start()"
    source = f"import threading, time\n{thread}\n{app_source()}"
    with running(tmp_path, source, "--timeout-graceful-shutdown=0.5") as server:
        server.wait_for("running on")
        server.tell(signal.SIGTERM)
        assert server.process.wait(15) == 0


def test_thread_of_the_app_that_is_waited_for(tmp_path: Path) -> None:
    """P2: an exit that waits for the app's own threads says so, and CTRL+C ends it."""
    source = (
        "import threading, time\n"
        f"threading.Thread(target=time.sleep, args=[1000], name='mail').start()\n{app_source()}"
    )
    with running(tmp_path, source) as server:
        server.wait_for("running on")
        server.tell(signal.SIGTERM)
        server.wait_for("the process waits for 1 thread of the app: mail")
        server.tell(signal.SIGINT)
        assert server.process.wait(15) == -signal.SIGINT


def test_signal_that_the_app_takes_itself(tmp_path: Path) -> None:
    """P2: a signal for which the app has set a handler of its own does not end the process."""
    code = """
import os, signal
from bridge.server.lifecycle.signals import Signals
ear, mouth = os.pipe()
os.set_blocking(mouth, False)
with Signals({signal.SIGINT: lambda: None}, limit=lambda: 0.0) as signals:
    signal.set_wakeup_fd(mouth)
    signals.listen()
    signal.signal(signal.SIGINT, lambda number, frame: None)
    for _ in range(20):
        os.kill(os.getpid(), signal.SIGINT)
        assert os.read(ear, 1)  # the guard has heard it
    print("alive", flush=True)
"""
    with running(tmp_path, app_source(), code=code) as server:
        assert server.process.wait(15) == 0
        assert "alive" in server.log()
