"""The mirror of sources and tests: what has no test file, and what its test file leaves out."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools import mirror

LONG = "def double(n):\n    if n > 5:\n        return n\n    return 2 * n\n" + "#\n" * 40


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another project, with one long file of sources."""
    for folder in ("bridge", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bridge" / "__init__.py").touch()
    (tmp_path / "bridge" / "long.py").write_text(LONG)
    (tmp_path / "bridge" / "short.py").write_text("#\n" * 40)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.coverage.run]\nbranch = true\nparallel = true\nsource = ["bridge"]\n'
        '[tool.pytest.ini_options]\npythonpath = ["."]\n'
    )
    monkeypatch.setattr(mirror, "ROOT", tmp_path)
    monkeypatch.setattr(mirror, "SOURCES", tmp_path / "bridge")
    monkeypatch.setattr(mirror, "TESTS", tmp_path / "tests")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # loading all takes a second
    return tmp_path


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("http/paths.py", "http/test_paths.py"),
        ("_version.py", "test_version.py"),
        ("runners/__init__.py", "test_runners.py"),
        ("__init__.py", "test_package.py"),
    ],
)
def test_where_a_test_file_stands(source: str, test: str) -> None:
    """Test files stand in the same tree; those of packages beside the folder."""
    assert mirror.test_of(mirror.SOURCES / source) == mirror.TESTS / test


def test_a_missing_test_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of more than 40 lines must have a test file with tests; a shorter one need not."""
    assert mirror.main([]) == 1
    assert capsys.readouterr().out == (
        "bridge/long.py has no test file of its name: tests/test_long.py\n"
    )
    test = project / "tests" / "test_long.py"
    test.write_text("# def test_later(): ...\n")
    assert mirror.main([]) == 1
    assert capsys.readouterr().out == "bridge/long.py has no test in tests/test_long.py\n"
    test.write_text("class TestDouble:\n    def test_two(self):\n        assert True\n")
    assert mirror.main([]) == 0


def test_files_without_code(project: Path) -> None:
    """Types and protocols have nothing that a test could run."""
    text = "Name = str\nclass Face(Protocol):\n    def method(self):\n        'says what'\n"
    (project / "bridge" / "types.py").write_text(text + "#\n" * 40)
    assert [file.name for file in mirror.sources()] == ["long.py"]


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ("(9, 1)", "covered"),
        ("(1,)", "66.7 %, without lines 3 and branches 2->3"),
        ("(9,)", "66.7 %, without lines 4 and branches 2->4"),
    ],
)
def test_what_a_test_file_leaves_out(
    project: Path, capsys: pytest.CaptureFixture[str], calls: str, said: str
) -> None:
    """Lines and branches that a test file does not reach are named, and make the check fail."""
    (project / "tests" / "test_long.py").write_text(
        "from bridge.long import double\n"
        f"def test():\n    for n in {calls}:\n        assert double(n) > 1\n"
    )
    assert mirror.main(["--cover", "bridge/long.py"]) == (0 if said == "covered" else 1)
    assert f"bridge/long.py: {said}" in capsys.readouterr().out


def test_tests_that_fail(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tests that fail cover nothing, and what pytest said is shown."""
    (project / "tests" / "test_long.py").write_text("def test():\n    assert 1 == 2\n")
    assert mirror.main(["--cover"]) == 1
    said = capsys.readouterr().out
    assert "its tests fail" in said
    assert "assert 1 == 2" in said
    assert sys.executable not in said


def test_what_is_for_other_pythons(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that this Python does not run because of its version are not missing."""
    (project / "bridge" / "long.py").write_text(
        "import sys\nif sys.version_info >= (3, 0):\n    from os import sep\nelse:\n    sep = ''\n"
        "if sys.version_info < (3, 0):\n    sep = ''\ndef first():\n    return sep\n" + "#\n" * 40
    )
    (project / "tests" / "test_long.py").write_text(
        "from bridge.long import first\ndef test():\n    assert first()\n"
    )
    assert mirror.main(["--cover", "bridge/long.py"]) == 0
    assert "bridge/long.py: covered" in capsys.readouterr().out


SWITCHING = """from greenlet import getcurrent, greenlet
import bridge.other
def waits(here):
    bridge.other.call(here.switch)
    return 1
def twice():
    made = greenlet(waits)
    bridge.other.call(made.switch, getcurrent())
    bridge.other.call(made.switch)
    return 2
"""


def test_what_switches_greenlets(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lines that run after a switch count for their own file, whatever file switched."""
    (project / "bridge" / "long.py").write_text(SWITCHING + "#\n" * 40)
    (project / "bridge" / "other.py").write_text(
        "def call(function, *args):\n    function(*args)\n"
    )
    (project / "tests" / "test_long.py").write_text(
        "from bridge.long import twice\ndef test():\n    assert twice() == 2\n"
    )
    assert mirror.main(["--cover", "bridge/long.py"]) == 0
    assert "bridge/long.py: covered" in capsys.readouterr().out
