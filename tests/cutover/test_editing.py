"""A switch is turned in the file."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from bridge.cutover import editing
from bridge.cutover.editing import switch_in_file
from bridge.cutover.settings_file import read_plan
from bridge.errors import ConfigError

FILE = """# moved in autumn
old = "legacy:app"

[[routes]]
name = "invoices"  # asked by the app of the shop
paths = ["/invoices", '/invoices/{id}']
mode = "old"

[[routes]]
name = "home"
paths = "/"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cutover.toml"
    path.write_text(FILE)
    path.chmod(0o640)
    return path


def test_all_else_in_the_file_stays(file: Path) -> None:
    """M3: comments, order, the way in which texts are written, and who may read it."""
    route = switch_in_file(str(file), "invoices", "canary", "5")
    assert (route.mode, route.share) == ("canary", 5.0)
    assert file.read_text() == FILE.replace('mode = "old"\n', 'mode = "canary"\nshare = 5\n')
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    switch_in_file(str(file), "invoices", "canary", 0.5)
    switch_in_file(str(file), "home", "new")
    assert [(each.mode, each.share) for each in read_plan(str(file)).routes] == [
        ("canary", 0.5),
        ("new", None),
    ]
    assert os.listdir(file.parent) == ["cutover.toml"]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_lines_end_as_they_did(file: Path, end: str, bom: bytes) -> None:
    """M3: of a file that an editor on Windows has written, and its BOM stays."""
    file.write_bytes(bom + FILE.replace("\n", end).encode())
    assert len(read_plan(str(file)).routes) == 2
    route, text = editing.switch_and_read(str(file), "invoices", "canary", 5)
    switched = FILE.replace('mode = "old"\n', 'mode = "canary"\nshare = 5\n').replace("\n", end)
    assert file.read_bytes() == bom + switched.encode()
    assert (route.mode, text) == ("canary", switched)


@pytest.mark.parametrize("table", ["tool.bridge.cutover", "cutover"])
def test_a_table_of_another_file(file: Path, table: str) -> None:
    """M3: what else is in a pyproject.toml is not touched; a link stays a link."""
    text = f"[project]\nname = 'x'\n[{table}]\n" + FILE.replace("[[routes]]", f"[[{table}.routes]]")
    file.write_text(text)
    link = file.parent / "link.toml"
    link.symlink_to(file)
    switch_in_file(str(link), "invoices", "new")
    assert file.read_text() == text.replace('mode = "old"', 'mode = "new"')
    assert link.is_symlink()


@pytest.mark.parametrize(
    ("name", "mode", "share", "says"),
    [
        ("invoice", "new", None, "there is no route invoice; did you mean invoices?"),
        ("invoices", "now", None, "mode is 'now'; allowed is one of"),
        ("invoices", "canary", None, "share says nothing"),
        ("invoices", "canary", 150, "share is 150; allowed is"),
        ("invoices", "new", 5, "share belongs to mode canary"),
        ("invoices", "shadow", 5, "share belongs to mode canary, and the mode is shadow"),
    ],
)
def test_what_cannot_be_right_changes_nothing(
    file: Path, name: str, mode: str, share: Any, says: str
) -> None:
    """M5: one line, which names the file."""
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        switch_in_file(str(file), name, mode, share)
    assert str(caught.value).startswith(f"{file}: ")
    assert file.read_text() == FILE


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"old =", "it is not TOML"),
        (b"# \xff", "is not TOML: it is not UTF-8"),
        (b"routes = 1", "routes is 1"),
        (None, "cannot be changed: No such file"),
    ],
)
def test_a_file_that_is_wrong_is_left_alone(file: Path, content: Any, says: str) -> None:
    """M5: somebody may be about to repair it."""
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(ConfigError, match=says):
        switch_in_file(str(file), "invoices", "new")
    assert content is None or file.read_bytes() == content


def test_an_editor_that_saves_meanwhile_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M3: what it has written is not overwritten."""

    def save(descriptor: int) -> None:
        file.write_text("# the editor's")

    monkeypatch.setattr("os.fsync", save)
    with pytest.raises(ConfigError, match="somebody else has just changed it"):
        switch_in_file(str(file), "invoices", "new")
    assert file.read_text() == "# the editor's"
    assert os.listdir(file.parent) == ["cutover.toml"]


def test_without_the_library_the_error_says_what_to_do(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M5: it is an extra."""
    monkeypatch.setitem(sys.modules, "tomlkit", None)
    with pytest.raises(ConfigError, match=re.escape('pip install "asgi-bridge[cutover]"')):
        switch_in_file(str(file), "invoices", "new")


def test_two_writers_come_one_after_the_other(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M3, M5: if the other one takes too long, the error says so."""
    monkeypatch.setattr(editing, "_PAUSE", 0.0)
    with editing._alone(file.parent), pytest.raises(ConfigError, match="is just changing it"):
        switch_in_file(str(file), "invoices", "new")
    switch_in_file(str(file), "invoices", "new")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_owner_and_mode_stay(file: Path) -> None:
    """M3: those of the file, whoever the server is."""
    os.chown(file, 12, 34)
    file.chmod(0o640)
    switch_in_file(str(file), "invoices", "new")
    stat = file.stat()
    assert (stat.st_uid, stat.st_gid, stat.st_mode & 0o777) == (12, 34, 0o640)


def test_a_directory_that_cannot_be_locked(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M3: some file systems lock none; the switch is kept all the same."""

    def flock(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(editing.fcntl, "flock", flock)
    name = read_plan(str(file)).routes[0].name
    assert switch_in_file(str(file), name, "old").mode == "old"
