"""What an app does while it is imported (M51)."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from bridge.check.findings import Findings
from bridge.check.watching.importing import Importing
from bridge.errors import AppLoadError
from tests.support.checking import AWKWARD


@pytest.fixture(autouse=True)
def _imported_anew() -> Iterator[None]:
    """The apps are not loaded; the signal that one of them takes is given back."""
    handler = signal.getsignal(signal.SIGUSR2)
    yield
    signal.signal(signal.SIGUSR2, handler)
    for name in ("at_import", "self_serving", "under_uwsgi"):
        sys.modules.pop(f"{AWKWARD}.{name}", None)


def test_threads_processes_and_signals() -> None:
    """M51: each is told with its line; the app's modules are known."""
    findings = Findings()
    with Importing(findings) as importing:
        importlib.import_module(f"{AWKWARD}.at_import")
    assert {each.id: each.places[0].line for each in findings} == {
        "import-thread": 25,
        "import-process": 26,
        "import-signal": 20,
    }
    assert f"{AWKWARD}.at_import" not in importing.known


def test_a_quiet_import() -> None:
    """M51: nothing is told of other modules, nor of other threads."""
    findings = Findings()
    with Importing(findings):
        importlib.import_module(f"{AWKWARD}.pep3333")
    assert list(findings) == []


def test_an_app_that_serves_itself() -> None:
    """M51: is refused with its line, before it listens."""
    findings = Findings()
    with pytest.raises(AppLoadError, match=r"self_serving\.py:9 .*__main__"):
        with Importing(findings):
            importlib.import_module(f"{AWKWARD}.self_serving")


def test_an_app_for_uwsgi() -> None:
    """M51: what is missing, and what to do, is told; other errors are what they were."""
    with pytest.raises(AppLoadError, match="under uWSGI only"):
        with Importing(Findings()):
            importlib.import_module(f"{AWKWARD}.under_uwsgi")
    with pytest.raises(ModuleNotFoundError):
        with Importing(Findings()):
            importlib.import_module(f"{AWKWARD}.nothing")


def test_an_import_that_hangs() -> None:
    """M51: somebody is told where it stands."""
    told: list[str] = []
    is_told = threading.Event()

    def on_hang(text: str) -> None:
        told.append(text)
        is_told.set()

    with Importing(Findings(), 0.05, on_hang):
        is_told.wait(20)
    assert "still being imported after 0.05 s: it stands at" in told[0]
    assert "test_importing.py" in told[0]
