"""Where every thread stands, and no interpreter that stands still for it."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading

import pytest

from bridge.loops.frames import current_frames

#: The start of a thread, while a collection within the reading lets other threads run.
PROGRAM = """
import gc, threading, time
from bridge.loops.frames import current_frames

class SlowEnd:
    def __init__(self):
        self.cycle = self

    def __del__(self):
        time.sleep(0.005)

def start_threads():
    while not over:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

over = False
starter = threading.Thread(target=start_threads)
starter.start()
for number in range(100):
    hold = threading.Event()
    waiting = [threading.Thread(target=hold.wait) for _ in range(8)]
    for thread in waiting:
        thread.start()
    gc.collect()
    gc.set_threshold(1_000_000)
    SlowEnd()
    # So few objects later a collection begins: within the reading, for some of these numbers.
    gc.set_threshold(gc.get_count()[0] + 2 + number % 7)
    assert threading.get_ident() in current_frames()
    gc.set_threshold(700)
    hold.set()
    for thread in waiting:
        thread.join()
over = True
starter.join()
print("read", gc.isenabled())
"""


def test_each_thread_has_its_innermost_frame() -> None:
    """G9: the frame of a thread that waits is that of the function in which it waits."""
    begun, hold = threading.Event(), threading.Event()

    def waits() -> None:
        begun.set()
        while not hold.is_set():
            pass

    thread = threading.Thread(target=waits)
    thread.start()
    begun.wait()
    try:
        frames = current_frames()
    finally:
        hold.set()
        thread.join()
    frame = frames[thread.ident or 0]
    while frame.f_code.co_name != "waits" and frame.f_back is not None:
        frame = frame.f_back
    assert frame.f_code is waits.__code__
    assert frames[threading.get_ident()] is not None


@pytest.mark.parametrize("enabled", [True, False])
def test_collections_are_as_before(enabled: bool) -> None:
    """G9: after a reading garbage is collected if it was before."""
    if not enabled:
        gc.disable()
    try:
        current_frames()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_threads_that_start_meanwhile() -> None:
    """G9: a collection in the reading cannot lock the interpreter (CPython issue 106883)."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert (done.stdout, done.returncode) == ("read True\n", 0), done.stderr


def test_a_fork_while_another_thread_reads() -> None:
    """G9: a child that was forked while a thread of its parent read can read and collect."""
    program = """
    import gc, os, threading
    from bridge.loops.frames import current_frames

    def read():
        while not over:
            current_frames()

    over = False
    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        child = os.fork()
        if child == 0:
            os._exit(0 if gc.isenabled() and len(current_frames()) else 1)
        assert os.waitpid(child, 0)[1] == 0
    over = True
    reader.join()
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        timeout=60,
        text=True,
    )
    assert done.returncode == 0, done.stderr
