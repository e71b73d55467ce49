"""A report as its writers see it."""

from __future__ import annotations

from pathlib import Path

from bridge.cutover.shadow.compare import Comparison, compare
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.report.report import Report
from bridge.cutover.shadow.report.summary import read_report

REQUEST = RecordedRequest("GET", "/a")


def test_what_is_written_can_be_summed_up(tmp_path: Path) -> None:
    """M12: what was compared, dropped and not answered is written, and read again."""
    report = Report(tmp_path / "report")
    old, new = RecordedResponse(200, (), b"a"), RecordedResponse(201, (), b"a")
    report.compared("a", REQUEST, old, old, Comparison())
    report.compared("a", REQUEST, old, new, compare(REQUEST, old, new))
    report.dropped("a", REQUEST, "too many copies at once")
    report.failed("b", REQUEST, "new: refused")
    report.close()
    summary = read_report(tmp_path / "report")
    a, b = summary.routes["a"], summary.routes["b"]
    assert (a.equal, a.different, a.dropped, a.errors) == (1, 1, 1, 0)
    assert (b.compared, b.errors) == (0, 1)
    assert list(a.frequent) == [("status", "value")]
