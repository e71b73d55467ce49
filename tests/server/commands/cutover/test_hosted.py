"""An app that is served for a replay."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge.cutover.shadow.records import RecordedRequest
from bridge.cutover.shadow.replay.side import Side
from bridge.errors import AppLoadError
from bridge.server.commands.cutover import hosted as module
from bridge.server.commands.cutover.hosted import hosted
from tests.support.hosts import ROOT
from tests.support.waiting import eventually, listens

APP = "tests.support.apps.hello:wsgi"


def test_an_app_is_served_as_long_as_it_is_asked() -> None:
    """M13: an app that is named by its module answers over a socket, and ends afterwards."""
    with hosted("old", APP, str(ROOT)) as address:
        assert Side("old", address).ask(RecordedRequest("GET", "/")).status == 200
    assert not listens(address.removeprefix("unix:"))


def test_an_app_that_does_not_start_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """M13: which app has not started is said; why, its own process has said before."""
    with pytest.raises(AppLoadError, match=r"the new app, tests.none:app, did not start"):
        with hosted("new", "tests.none:app", str(ROOT)):
            pass
    assert "there is no module 'tests.none'" in capfd.readouterr().err


def test_an_app_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """M13: an app that neither starts nor ends in time is killed."""
    monkeypatch.setattr(module, "STARTING", 0.0)
    monkeypatch.setattr(module, "_ENDING", 0.01)
    with pytest.raises(AppLoadError, match="has not started within 0 s"):
        with hosted("new", APP, str(ROOT)):
            pass


def test_the_app_ends_with_the_replay() -> None:
    """M13: if the replay is killed, the app that it has started ends, too."""
    code = (
        "import sys, time\n"
        "from bridge.server.commands.cutover.hosted import hosted\n"
        f"with hosted('old', {APP!r}, '.') as address:\n"
        "    print(address.removeprefix('unix:'), flush=True)\n"
        "    time.sleep(60)\n"
    )
    replay = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert replay.stdout is not None
    with replay.stdout:
        path = replay.stdout.readline().strip()
    assert listens(path)
    replay.kill()
    replay.wait()
    eventually(lambda: not listens(path))
