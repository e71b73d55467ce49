"""What PEP 3333 does not allow, and is served all the same, with one warning."""

from __future__ import annotations

import threading

import pytest

from bridge.errors import IllegalResponse
from bridge.http.leniency import LENIENT, Leniency


def app() -> None: ...


def test_once_for_each_kind(caplog: pytest.LogCaptureFixture) -> None:
    """W34: the log names the app, what it does, and what comes of it; once for each thing."""
    leniency = Leniency(app)
    for _ in range(3):
        leniency.tolerate("sets the field a", "the field is left out")
        leniency.tolerate("gives a tuple", "it is sent as it is")
    first, second = caplog.messages
    assert "function app" in first
    assert "sets the field a, which PEP 3333 does not allow; the field is left out" in first
    assert "gives a tuple" in second
    Leniency(app).tolerate("sets the field a", "the field is left out")
    assert len(caplog.messages) == 3


def test_strict(caplog: pytest.LogCaptureFixture) -> None:
    """W34: with `strict` it is an error each time, and no warning."""
    leniency = Leniency(app, strict=True)
    for _ in range(2):
        with pytest.raises(IllegalResponse, match="the app sets the field a"):
            leniency.tolerate("sets the field a", "the field is left out")
    assert not caplog.messages
    assert not LENIENT.strict


def test_from_many_threads(caplog: pytest.LogCaptureFixture) -> None:
    """W34: two threads that do the same at once make one line."""
    leniency, ready = Leniency(app), threading.Barrier(4)

    def tolerate() -> None:
        ready.wait(20)
        leniency.tolerate("does it", "so be it")

    threads = [threading.Thread(target=tolerate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(caplog.messages) == 1
