"""Memory and CPU time of this process, and of one that is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from bridge.server.control.usage import age, cpu_seconds, memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_living_process_has_memory_time_and_age() -> None:
    """The figures are those of the process: more work, more CPU time."""
    pid = os.getpid()
    used = memory(pid)
    assert used is not None
    assert used > 1024 * 1024
    before = cpu_seconds(pid)
    assert before is not None
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    after = cpu_seconds(pid)
    assert after is not None
    assert after > before
    old = age(pid)
    assert old is not None
    assert 0 < old < 24 * 3600


def test_a_process_that_is_gone_has_none() -> None:
    """A worker may end at any time: that is no error."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert memory(process.pid) is cpu_seconds(process.pid) is age(process.pid) is None
