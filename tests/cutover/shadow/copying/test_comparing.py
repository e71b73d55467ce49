"""Answers compared by a thread of their own."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.cutover.shadow.copying import comparing
from bridge.cutover.shadow.copying.comparing import Answers, Comparer
from bridge.cutover.shadow.copying.counts import Counts
from bridge.cutover.shadow.copying.settings import RouteShadow, Shadow
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.report.file import BoundedFile
from tests.support.waiting import eventually

JSON = (("content-type", "application/json"),)


def answer(status: int = 200, **body: Any) -> RecordedResponse:
    return RecordedResponse(status, JSON, json.dumps(body).encode())


class Compared:
    """A comparer with a report, and what it has come to."""

    def __init__(self, tmp_path: Path, **shadow: Any) -> None:
        self.path = tmp_path / "report"
        self.shadow = Shadow(**shadow)
        self.counts = Counts()
        self.comparer = Comparer(self.shadow, self.counts, BoundedFile(self.path))
        self.forgotten = 0

    def forget(self) -> None:
        self.forgotten += 1

    def put(
        self,
        old: RecordedResponse,
        new: RecordedResponse | None,
        again: RecordedResponse | None = None,
        failure: str = "",
    ) -> None:
        settings = RouteShadow().over(self.shadow)
        request = RecordedRequest("GET", "/a/1", "token=hunter2")
        self.comparer.put(Answers("a", settings, request, old, new, again, failure, self.forget))

    def lines(self) -> list[dict[str, Any]]:
        self.comparer.close()
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def test_answers_are_compared_counted_and_written(tmp_path: Path) -> None:
    """M10, M11, M12: without secrets; all memory is given back."""
    compared = Compared(tmp_path, ignore=["$.id"])
    compared.put(answer(a=1, id=1), answer(a=1, id=2))
    compared.put(answer(a=1), answer(a=2))
    compared.put(answer(a=1), None, failure="it raised ValueError")
    compared.put(answer(304), answer(200))
    lines = compared.lines()
    assert [line["result"] for line in lines] == ["equal", "different", "error", "dropped"]
    assert lines[2]["reason"] == "it raised ValueError"
    assert lines[3]["count"] == 1
    assert "hunter2" not in compared.path.read_text()
    assert compared.counts.results() == {
        "a": {"equal": 1, "different": 1, "failed": 1, "dropped": 1}
    }
    assert compared.counts.reasons() == {"a": {"not-modified": 1}}
    assert compared.forgotten == 4


def test_noise_is_no_difference(tmp_path: Path) -> None:
    """M11: what the old app answers differently each time, also in later answers."""
    compared = Compared(tmp_path)
    compared.put(answer(t=1), answer(t=3), again=answer(t=2))
    compared.put(answer(t=4), answer(t=5))
    assert [line["result"] for line in compared.lines()] == ["equal", "equal"]


def test_the_first_difference_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """M10: in the log, once for each route: nobody may look at the figures."""
    compared = Compared(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            compared.put(answer(a=1), answer(a=2))
        compared.comparer.close()
    assert [each.getMessage() for each in caplog.records] == [
        "route a: old and new have answered differently, in $.a (value); the report has all of it"
    ]


def test_there_is_a_bound_and_no_bug_ends_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M10: more than wait is dropped; what cannot be compared is counted."""
    compared = Compared(tmp_path)
    monkeypatch.setattr(compared.comparer, "start", lambda: None)
    for _ in range(comparing.MOST_WAITING + 1):
        compared.put(answer(), answer())
    assert compared.counts.reasons() == {"a": {"busy": 1}}
    assert compared.forgotten == 1
    monkeypatch.undo()
    compared = Compared(tmp_path)
    monkeypatch.setattr(comparing, "compare", lambda *args: 1 / 0)
    compared.put(answer(), answer())
    compared.comparer.close()
    assert compared.counts.results()["a"]["failed"] == 1
    assert compared.forgotten == 1
    compared.comparer.close()


def test_the_thread_outlives_what_goes_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M12: and one that has ended all the same is begun again."""
    compared = Compared(tmp_path)
    compared.counts.drop("a", "busy")
    with monkeypatch.context() as patched:
        patched.setattr(comparing.lines, "dropped", None)
        compared.put(answer(a=1), answer(a=1))
        eventually(lambda: "goes on after an error" in caplog.text)
        assert compared.comparer.is_running
    compared.put(answer(a=1), answer(a=2))
    assert "different" in [line["result"] for line in compared.lines()]
    assert not compared.comparer.is_running
    compared.comparer._thread = threading.Thread()  # as after an error that nobody thought of
    compared.comparer.start()
    assert compared.comparer.is_running
    compared.comparer.close()
