"""Working directory, environment and import path from the command line (O5)."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.server.commands.surroundings import anchor, enter, load_env_file, take_binds

NOTHING: dict[str, Any] = {"chdir": None, "env": (), "env_file": None, "pythonpath": None}


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Directory, environment and path of this process are put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    saved = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(saved)
    load_env_file(os.devnull, os.environ)


def test_nothing_said() -> None:
    """O5: without these options nothing changes, and the settings alone are left."""
    options = NOTHING | {"port": "1"}
    before = (dict(os.environ), os.getcwd(), sys.path.copy())
    enter(options)
    assert (dict(os.environ), os.getcwd(), sys.path) == before
    assert options == {"port": "1"}


def test_chdir_by_a_link_that_moves(tmp_path: Path) -> None:
    """O5: each time the link is followed anew, so that a reload gets what it points to then."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
    link = tmp_path / "current"
    link.symlink_to("1")
    options = NOTHING | {"chdir": "current", "config": "bridge.toml", "env_file": None}
    anchor(options)
    assert options["config"] == str(tmp_path / "bridge.toml")
    enter(options.copy())
    assert Path.cwd() == tmp_path / "1"
    link.unlink()
    link.symlink_to("2")
    enter(options.copy())
    assert Path.cwd() == tmp_path / "2"


def test_paths_stay_as_they_are_written_without_chdir() -> None:
    """O5: errors name them as they were given."""
    options = NOTHING | {"config": "bridge.toml"}
    anchor(options)
    assert options["config"] == "bridge.toml"


def test_variables() -> None:
    """O5: as Gunicorn's `-e`: they replace what is there; a value may have an equals sign."""
    os.environ["HERE"] = "old"
    enter(NOTHING | {"env": ("HERE=new", "EMPTY=", "DSN=a=b")})
    assert [os.environ[name] for name in ("HERE", "EMPTY", "DSN")] == ["new", "", "a=b"]


def test_import_path(tmp_path: Path) -> None:
    """O5: as Gunicorn's `--pythonpath`: absolute, in front, each once, also after a reload."""
    before = sys.path.copy()
    for _ in range(2):
        enter(NOTHING | {"pythonpath": "a, b,"})
    assert sys.path == [str(tmp_path / "b"), str(tmp_path / "a"), *before]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"chdir": "none"}, "--chdir is 'none', which cannot be entered: No such file or direc"),
        ({"env": ("A",)}, "--env is 'A'; allowed is NAME=VALUE"),
        ({"env": ("=A",)}, "--env is '=A'; allowed is NAME=VALUE"),
        ({"env": ("A=\0",)}, "--env is 'A=\\x00'; allowed is NAME=VALUE"),
        ({"env_file": "none.env"}, "--env-file none.env cannot be read: No such file or directory"),
    ],
)
def test_what_is_wrong(given: dict[str, Any], said: str) -> None:
    """O5: one line that names the option."""
    with pytest.raises(ConfigError) as caught:
        enter(NOTHING | given)
    assert str(caught.value).startswith(said)


def test_binds() -> None:
    """O5: --uds and --fd are binds, beside others; a command without sockets has neither."""
    options: dict[str, Any] = {"bind": ("a:1",), "uds": "x.sock", "fd": "3"}
    take_binds(options)
    assert options == {"bind": ("a:1", "unix:x.sock", "fd://3")}
    take_binds(options)
    assert options == {"bind": ("a:1", "unix:x.sock", "fd://3")}


# ------------------------------------------------------------- environment files


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A = b c  ", "b c"),
        ("A=", ""),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A=it's", "it's"),
        ("A='x ${HOME} \\n' # why", "x ${HOME} \\n"),
        ('A="x\\n\\"y\\"\\z"', 'x\n"y"z'),
        ("A=${OTHER}/${NONE:-there}${NONE}", "here/there"),
        ('A="${OTHER}"', "here"),
        ("\ufeffA=b", "b"),
        ("# A=c\n\n  A=b\r\n", "b"),
    ],
)
def test_lines_of_an_environment_file(line: str, value: str) -> None:
    """O5: as python-dotenv reads them, which uvicorn uses."""
    Path(".env").write_text(line, encoding="utf-8")
    environ = {"OTHER": "here"}
    load_env_file(".env", environ)
    assert environ == {"OTHER": "here", "A": value}


def test_an_environment_file_beside_the_environment() -> None:
    """O5: what is set already stays; read again, the file decides anew about what it has set."""
    Path(".env").write_text("A=1\nB=${A}\nC=3\n")
    environ = {"A": "0"}
    load_env_file(".env", environ)
    assert environ == {"A": "0", "B": "0", "C": "3"}
    environ["C"] = "by the app"
    Path(".env").write_text("B=5\nC=6\nD=7\n")
    load_env_file(".env", environ)
    assert environ == {"A": "0", "B": "5", "C": "by the app", "D": "7"}


@pytest.mark.parametrize("line", ["A", "=b", "A='b", 'A="b', "A='b' c", "1A=b", "A=\0", "A B=c"])
def test_a_line_that_is_none(line: str) -> None:
    """O5: it is named by its number, and nothing is guessed."""
    Path(".env").write_text(f"\n{line}\n")
    with pytest.raises(ConfigError, match=r"^line 2 of \.env is .*; allowed is NAME=VALUE$"):
        load_env_file(".env", {})


def test_a_file_that_is_no_text() -> None:
    """O5: it is told as that."""
    Path(".env").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"^--env-file \.env is no text in UTF-8"):
        load_env_file(".env", {})
