"""The tutorials: their files are saved, their commands are typed, and all print what they show."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.hosts import ROOT
from tests.support.reader import Reader, steps


@pytest.mark.parametrize("lesson", ["first-steps", "flask", "django"])
def test_a_lesson_from_its_first_command_to_its_last(
    lesson: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1, M1, M3, M10, M20, M30, M40, M50, M51: each command prints what the page shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRIDGE_CONTROL_SOCKET", "ctl")
    page = (ROOT / "docs" / "tutorial" / f"{lesson}.md").read_text()
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack, faster=lesson != "first-steps")
        for step in steps(page):
            reader.follow(step)
    switches = tmp_path / "cutover.toml"
    assert not switches.exists() or 'mode = "new"' in switches.read_text()
