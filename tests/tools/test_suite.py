"""scripts/test's runner: a test that fails by chance is named, one that fails is red."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.support.hosts import ROOT
from tools import suite

PASSES = "def test_passes(): pass\n"
FAILS = "def test_fails(): assert 1 == 2\n"
#: Fails as long as it leaves no note: the first time.
BY_CHANCE = (
    "from pathlib import Path\n"
    "def test_by_chance():\n"
    "    note = Path(__file__ + '.note')\n"
    "    if not note.exists():\n"
    "        note.touch()\n"
    "        assert False, 'this time'\n"
)
#: Leaves something in its process, which the other minds.
LEAVES = "import builtins\ndef test_leaves():\n    builtins.left = 1\n    assert False\n"
MINDS = BY_CHANCE + "    import builtins\n    assert not hasattr(builtins, 'left')\n"
CRASHES = "import os\ndef test_crashes(): os._exit(1)\n"
CRASHES_BY_CHANCE = BY_CHANCE.replace("assert False, 'this time'", "__import__('os')._exit(1)")


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of the runner, in a project of its own."""
    env = {name: value for name, value in os.environ.items() if "XDIST" not in name}
    # Only the plugin that is needed: loading all takes a second in each process.
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p xdist.plugin"}
    env["SUITE_PROCESSES"] = "2"  # these tests are few
    done = subprocess.run(
        [sys.executable, "-m", "tools.suite", *arguments],
        cwd=folder,
        env={**env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("tests", "code", "said"),
    [
        (
            [PASSES, BY_CHANCE],
            0,
            ["1 flaky", "0 failed twice", "FLAKY test_1.py::test_by_chance"],
        ),
        ([PASSES, CRASHES], 1, ["1 failed twice", "RED   test_1.py::test_crashes"]),
        (
            [PASSES, CRASHES_BY_CHANCE + PASSES],
            0,
            ["the 1 tests not run are run now", "1 passed", "FLAKY test_1.py::test_by_chance"],
        ),
        (
            [PASSES, CRASHES + "def test_again(): os._exit(1)\n" + PASSES],
            1,
            ["the run ended before its end: 1 tests were not run"],
        ),
        ([FAILS, BY_CHANCE], 1, ["1 flaky", "1 failed twice", "RED   test_0.py::test_fails"]),
        ([LEAVES, MINDS], 1, ["1 flaky", "1 failed twice", "RED   test_0.py::test_leaves"]),
        ([PASSES, "import no_such_module"], 1, ["no_such_module"]),
    ],
    ids=["flaky", "crash", "crash by chance", "two crashes", "red", "each alone", "does not load"],
)
def test_what_fails_is_run_once_more(
    tmp_path: Path, tests: list[str], code: int, said: list[str]
) -> None:
    """What passes alone is flaky, named and counted; what fails twice makes the run red.

    So does a run that did not come to its end twice.
    """
    for number, text in enumerate(tests):
        (tmp_path / f"test_{number}.py").write_text(text)
    given, output = run(tmp_path)
    assert bool(given) == bool(code), output
    for words in said:
        assert words in output


def test_what_is_named_runs_once(tmp_path: Path) -> None:
    """With arguments the runner is pytest: a failure is red at once."""
    (tmp_path / "test_0.py").write_text(BY_CHANCE)
    given, output = run(tmp_path, "test_0.py")
    assert given == 1
    assert "flaky" not in output


def test_what_is_imported_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled modules are kept, whatever the shell says of it: the tests start many processes."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (tmp_path / "test_0.py").write_text("import imported\n" + PASSES)
    (tmp_path / "imported.py").touch()
    code, output = run(tmp_path, "test_0.py")
    assert code == 0, output
    assert [*tmp_path.glob("__pycache__/imported.*.pyc")]


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While tests run, a line says how many are done, and which was the last."""
    monkeypatch.setattr(suite, "PACE", 0.01)
    reader, writer = os.pipe()
    progress = suite.Progress(tmp_path / "failed", writer)
    progress.pytest_xdist_node_collection_finished(["a", "b"])
    progress.pytest_sessionstart()
    line = os.read(reader, 1000).decode()
    progress.pytest_sessionfinish()
    os.close(reader)
    os.close(writer)
    assert "0 of 2 tests, 0 failed" in line


def test_progress_that_nobody_reads(tmp_path: Path) -> None:
    """That it cannot be told fails no test, and what has failed is kept all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    progress = suite.Progress(tmp_path / "failed", writer)
    progress.pytest_xdist_node_collection_finished(["a"])
    progress.pytest_runtest_logreport(SimpleNamespace(when="teardown", nodeid="a", failed=True))
    progress.pytest_sessionfinish()
    os.close(writer)
    assert (tmp_path / "failed").read_text() == '[["a"], []]'


def test_process_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test whose process does not end when it is run alone has failed."""
    monkeypatch.setattr(suite, "ALONE", 0.1)
    assert not suite._passes([sys.executable, "-c", "import threading; threading.Event().wait()"])
