"""What Python tells of the code that runs (M51)."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest

from bridge.check.watching.audit import watching


def test_a_thread_is_told_of_its_own_events() -> None:
    """M51: with arguments and frame, within the block only, and of no other thread."""
    seen: list[tuple[str, tuple[Any, ...], str]] = []

    def watcher(event: str, arguments: tuple[Any, ...], frame: FrameType) -> None:
        seen.append((event, arguments, frame.f_code.co_name))

    with watching(watcher):
        time.sleep(0)
        other = threading.Thread(target=time.sleep, args=(0.001,))
        other.start()
        other.join()
    time.sleep(0)
    mine = "test_a_thread_is_told_of_its_own_events"
    assert [each for each in seen if each[0] == "time.sleep"] == [("time.sleep", (0,), mine)]
    assert any(event.startswith("_thread.start_") for event, _, _ in seen)


def test_what_a_watcher_raises_is_raised_in_the_code() -> None:
    """M51: before the call happens."""

    def watcher(*arguments: Any) -> None:
        raise LookupError("not here")

    with pytest.raises(LookupError), watching(watcher):
        time.sleep(60)


AT_THE_END = """
import sys
from bridge.check.watching import audit

class Late:
    def __init__(self):
        self.audit = sys.audit

    def __del__(self):
        self.audit("late")

with audit.watching(lambda *told: None):
    audit.late = Late()
"""


def test_the_end_of_the_process_is_quiet() -> None:
    """M51: the hook is called after the names of its module are gone."""
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
