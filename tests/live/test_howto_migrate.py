"""The guide "From the old app to the new one": all that it says to type is typed, in its order."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.hosts import ROOT
from tests.support.reader import Reader, steps

PAGE = (ROOT / "docs" / "howto" / "migrate.md").read_text()


def test_the_page_from_its_first_command_to_its_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M1, M3, M10, M13, M20, M50, M51: each command of the guide prints what the guide shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_CONTROL_SOCKET", "ctl")
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack)
        for step in steps(PAGE):
            reader.follow(step)
    assert 'mode = "new"' in (tmp_path / "cutover.toml").read_text()
