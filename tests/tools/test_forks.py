"""Tests in processes that are forked when all have been read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.hosts import ROOT
from tests.support.waiting import eventually

#: Notes in which process it is, and what it begins and ends.
CONFTEST = """
import os, pytest
from pathlib import Path

def note(text):
    with Path("notes").open("a") as notes:
        notes.write(f"{os.getpid()} {text}\\n")

@pytest.fixture(scope="session", autouse=True)
def session():
    yield
    note("session")
"""
FILE = """
import pytest
from conftest import note

@pytest.fixture(scope="module", autouse=True)
def module():
    note("NAME begins")
    yield
    note("NAME ends")

def test_one():
    print("this is NAME")
    assert False

def test_two():
    pytest.skip("not today")
"""


@contextmanager
def begun(folder: Path, processes: int = 2, *options: str) -> Iterator[subprocess.Popen[str]]:
    """pytest with the plugin, on the files in a folder."""
    settings = {"SUITE_RECORD": str(folder / "record"), "SUITE_OUTPUT": "2"}
    settings |= {"SUITE_PROCESSES": str(processes), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "tools.suite", *options],
        cwd=folder,
        env={**os.environ, **settings, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        try:
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def run(folder: Path, processes: int = 2, *options: str) -> str:
    """Everything that such a run says."""
    with begun(folder, processes, *options) as running:
        return running.communicate(timeout=100)[0]


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_files_stay_whole(tmp_path: Path, processes: int) -> None:
    """A file is for one process, and begun once; what it has printed is in its own reports."""
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(FILE.replace("NAME", f"file {name}"))
    output = run(tmp_path, processes)
    assert "3 failed, 3 skipped" in output
    assert "SKIPPED [3]" not in output  # of three lines, one in each file
    assert output.count("not today") == 3
    notes = [line.split(" ", 1) for line in (tmp_path / "notes").read_text().splitlines()]
    pids = {pid for pid, _ in notes}
    assert len(pids) <= min(processes, 3)
    assert sorted(text for _, text in notes if text == "session") == ["session"] * len(pids)
    for name in "abc":
        assert len({pid for pid, text in notes if f"file {name}" in text}) == 1
        assert [text for _, text in notes if f"file {name}" in text] == [
            f"file {name} begins",
            f"file {name} ends",
        ]
        assert output.count(f"this is file {name}") == 2  # the source and what it printed


def test_what_took_longest_is_first_the_next_time(tmp_path: Path) -> None:
    """Files that are not known come last, in pytest's order."""
    for name, seconds in (("a", 0), ("b", 0.2), ("c", 0.4)):
        (tmp_path / f"test_{name}.py").write_text(
            "import time\nfrom pathlib import Path\n"
            "def test_one():\n"
            f"    time.sleep({seconds})\n"
            f"    with Path('order').open('a') as order: order.write('{name}')\n"
        )
    run(tmp_path, 1)
    (tmp_path / "test_0.py").write_text("def test_one(): pass\n")
    run(tmp_path, 1)
    run(tmp_path, 1, "-p", "no:cacheprovider")
    assert (tmp_path / "order").read_text() == "abc" + "cba" + "abc"


def test_one_process_ends(tmp_path: Path) -> None:
    """The test in which it has ended has failed; the files of others are run."""
    (tmp_path / "test_a.py").write_text(
        "import os\ndef test_crashes(): os._exit(3)\ndef test_more(): pass\n"
    )
    (tmp_path / "test_b.py").write_text("def test_passes(): pass\n")
    output = run(tmp_path)
    assert "FAILED test_a.py::test_crashes" in output
    assert "has ended in the middle of this test" in output
    assert "1 failed, 1 passed" in output
    assert (tmp_path / "record").read_text() == "2\ntest_a.py::test_crashes"


def test_the_run_is_broken_off(tmp_path: Path) -> None:
    """SIGINT: what the tests have started is ended, in each process."""
    for name in "ab":
        (tmp_path / f"test_{name}.py").write_text(
            "import pytest, threading\nfrom pathlib import Path\n"
            "@pytest.fixture\n"
            f"def server():\n    Path('{name} begun').touch()\n    yield\n"
            f"    Path('{name} ended').touch()\n"
            "def test_waits(server): threading.Event().wait()\n"
        )
    with begun(tmp_path) as running:
        eventually(lambda: len([*tmp_path.glob("* begun")]) == 2, timeout=60)
        running.send_signal(signal.SIGINT)
        output = running.communicate(timeout=60)[0]
    assert "KeyboardInterrupt" in output
    assert len([*tmp_path.glob("* ended")]) == 2


def test_nothing_is_run_if_a_file_cannot_be_read(tmp_path: Path) -> None:
    """pytest says what is wrong."""
    (tmp_path / "test_a.py").write_text("import no_such_module")
    (tmp_path / "test_b.py").write_text("def test_passes(): pass\n")
    assert "1 error" in run(tmp_path)


def test_tests_are_only_listed(tmp_path: Path) -> None:
    """`--collect-only` runs nothing."""
    (tmp_path / "test_a.py").write_text("def test_fails(): assert False\n")
    assert "test_a.py::test_fails" in run(tmp_path, 2, "--collect-only")


def test_what_is_for_all_tests_fails_to_end(tmp_path: Path) -> None:
    """The run is red, and says why."""
    (tmp_path / "conftest.py").write_text(
        "import pytest\n"
        "@pytest.fixture(scope='session', autouse=True)\n"
        "def session():\n    yield\n    raise LookupError('at the end')\n"
    )
    (tmp_path / "test_a.py").write_text("def test_passes(): pass\n")
    output = run(tmp_path)
    assert "LookupError: at the end" in output
    assert "1 failed, 1 passed" in output
