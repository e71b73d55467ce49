"""What the system says of the process (O2)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bridge.server.metrics import resources
from bridge.server.metrics.resources import memory, open_files, process_families, started_at


def test_this_process() -> None:
    """O2: the names and the meaning are those of Prometheus' own clients."""
    families = process_families()
    values = {name: family["samples"][0][1] for name, family in families.items()}
    assert 0 < values["process_cpu_seconds_total"] <= time.process_time()
    assert values["process_resident_memory_bytes"] > 1_000_000
    assert values["process_resident_memory_bytes"] < values["process_virtual_memory_bytes"]
    assert 3 <= values["process_open_fds"] <= values["process_max_fds"]
    assert time.time() - 86_400 < values["process_start_time_seconds"] <= time.time() + 1
    each = {name for name, family in families.items() if family.get("per") == "worker"}
    assert each == values.keys() - {"process_cpu_seconds_total"}


def test_open_files() -> None:
    """O2: a file more is one more."""
    before = open_files()
    with open(os.devnull, "rb"):
        assert open_files() == (before or 0) + 1


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_without_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    """O2: what a system does not tell is left out, or told as well as can be."""
    monkeypatch.setattr("sys.platform", platform)
    virtual, resident = memory(str(tmp_path))
    assert virtual is None
    assert resident > 1_000_000 / 1024
    assert started_at(str(tmp_path)) == resources._LOADED
    assert open_files(str(tmp_path)) is None
    monkeypatch.setattr(resources, "open_files", lambda: None)
    assert "process_open_fds" not in process_families()
