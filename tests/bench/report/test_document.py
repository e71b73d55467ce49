"""A report is read by people as Markdown, and by programs as JSON: both say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.compared import tables
from bench.deploys import table
from bench.peers.environments import DOCUMENTS
from bench.report.document import markdown, save


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*.json")), ids=lambda path: path.stem)
def test_saved_reports(path: Path) -> None:
    """The Markdown that is saved is what its JSON says."""
    report = json.loads(path.read_text(encoding="utf-8"))
    special = {"deploys": table.markdown, "compared": tables.markdown}
    as_text = special.get(report["scenario"], markdown)
    assert as_text(report) == path.with_suffix(".md").read_text(encoding="utf-8")


def test_save(tmp_path: Path) -> None:
    """A report is saved as both, in a folder that is made if it is not there."""
    report = json.loads((DOCUMENTS / "idle.json").read_text(encoding="utf-8"))
    place = save(report, tmp_path / "new", "idle")
    assert json.loads(place.read_text()) == report
    assert place.with_suffix(".md").read_text() == markdown(report)
