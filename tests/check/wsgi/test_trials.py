"""The same requests under each runner (M51)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from bridge.check.findings import Findings
from bridge.check.wsgi.trials import _Trial
from bridge.loops.watchdog.stack import Place
from tests.support.checking import checked_app

HEAD = [("Content-Type", "text/plain")]


def test_answers_are_compared() -> None:
    """M51: an app that fails under one runner is told, with that runner alone."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        in_loop = "bridge-check-loop" in threading.current_thread().name
        start_response("409 Conflict" if in_loop else "200 OK", HEAD)
        return [b""]

    report = checked_app(app)
    found = [each for each in report.all_findings if each.id == "trial-differs"]
    assert {each.way for each in found} == {"greenlet", "inline"}
    assert "GET / is answered 409, and 200 in a plain thread" in found[0].text
    failing = {each.way for each in report.apps[0].verdicts if each.fails}
    assert failing == {"greenlet", "inline"}


def test_one_that_hangs_or_raises_there() -> None:
    """M51: is left, and told."""
    names = {"bridge-check-loop"}
    end = threading.Event()

    def hangs(environ: Any, start_response: Any) -> Iterable[bytes]:
        if threading.current_thread().name in names:
            end.wait(20)
        start_response("200 OK", HEAD)
        return [b""]

    report = checked_app(hangs, seconds=0.2)
    end.set()
    found = [each for each in report.all_findings if each.id == "trial-differs"]
    assert {each.way for each in found} == {"greenlet", "inline"}
    assert "GET / is not answered in time" in found[0].text


def test_what_blocks_patched_greenlets_again_and_again() -> None:
    """M51: is told with its line; a first time may be an import."""
    findings = Findings()

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        return []

    trial = _Trial(app, "greenlet --patch", "greenlet", 1, findings, "")
    place = Place("shop.py", 3, "view")
    block: Any = SimpleNamespace(stack=SimpleNamespace(place=place))
    trial._current = "GET / 0"
    trial._on_block(block)
    assert list(findings) == []
    trial._current = "GET / 1"
    trial._on_block(block)
    (found,) = findings
    assert found.text == "under greenlet --patch it holds up all other requests"
    assert found.places == [place]
    assert found.needs_care("greenlet --patch")
    assert not found.needs_care("thread")
