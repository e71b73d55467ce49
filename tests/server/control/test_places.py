"""Where control sockets are: private directories, in real file systems."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.server.control import places
from bridge.server.control.places import chosen_path, default_path, directories, sockets


@pytest.fixture(autouse=True)
def _no_system_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave out the machine's own /run, in which a real server may be."""
    monkeypatch.setattr(places, "_SYSTEM", f"{tmp_path}/run/")


def test_the_runtime_directory_of_the_user_comes_first(tmp_path: Path) -> None:
    """O3: the directory is made with mode 700, and the name is that of the process."""
    path = default_path({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert path == str(tmp_path / "asgi-bridge" / f"{os.getpid()}.ctl")
    assert stat.S_IMODE((tmp_path / "asgi-bridge").stat().st_mode) == 0o700
    assert default_path({"XDG_RUNTIME_DIR": str(tmp_path)}) == path


def test_a_directory_that_is_not_private_is_passed_over(tmp_path: Path) -> None:
    """O3: others may enter it, or it is a link, a file, or missing: the next one is taken."""
    runtime, temporary = tmp_path / "runtime", tmp_path / "tmp"
    runtime.mkdir()
    temporary.mkdir()
    environ = {"XDG_RUNTIME_DIR": str(runtime), "TMPDIR": str(temporary)}
    expected = str(temporary / f"asgi-bridge-{os.geteuid()}" / f"{os.getpid()}.ctl")
    open_to_all = runtime / "asgi-bridge"
    open_to_all.mkdir()
    open_to_all.chmod(0o755)
    assert default_path(environ) == expected
    assert list(sockets(environ)) == []
    open_to_all.rmdir()
    open_to_all.symlink_to(temporary)
    assert default_path(environ) == expected
    assert default_path({**environ, "XDG_RUNTIME_DIR": str(tmp_path / "none")}) == expected
    assert default_path({**environ, "XDG_RUNTIME_DIR": "not/absolute"}) == expected


def test_without_any_private_directory_the_error_names_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: it says where a directory was looked for."""
    found = [str(tmp_path / "a" / "none"), str(tmp_path / "b" / "none")]
    monkeypatch.setattr(places, "directories", lambda _: found)
    with pytest.raises(ConfigError, match=f"none of {found[0]}, {found[1]} can be made"):
        default_path({})


def test_ctl_looks_in_every_directory(tmp_path: Path) -> None:
    """O3: the environment of a shell is not that of a service; what has another name is left."""
    shell = {"XDG_RUNTIME_DIR": str(tmp_path), "TMPDIR": str(tmp_path)}
    assert directories(shell)[-1] == f"/tmp/asgi-bridge-{os.geteuid()}"
    found = []
    for directory in directories(shell)[:-1]:
        os.makedirs(directory, 0o700)
        for name in ("7.ctl", "other"):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(os.path.join(directory, name))
        found.append(os.path.join(directory, "7.ctl"))
    assert [path for path in sockets(shell) if path.startswith(str(tmp_path))] == found


def test_what_killed_servers_have_left_is_removed(tmp_path: Path) -> None:
    """O8: a stale socket goes when the next server starts; a living one and a file stay."""
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    directory = tmp_path / "asgi-bridge"
    directory.mkdir(0o700)
    (directory / "3.ctl").write_text("no socket")
    with socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as stale:
        living.bind(str(directory / "1.ctl"))
        living.listen()
        stale.bind(str(directory / "2.ctl"))
        default_path(environ)
    assert sorted(each.name for each in directory.iterdir()) == ["1.ctl", "3.ctl"]


def test_a_directory_in_which_anybody_may_write_is_refused(tmp_path: Path) -> None:
    """O3: with the sticky bit, as /tmp has it, nobody can swap the socket."""
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="any user could put another socket"):
        chosen_path(str(tmp_path / "a.ctl"))
    tmp_path.chmod(0o1777)
    assert chosen_path(str(tmp_path / "a.ctl")) == str(tmp_path / "a.ctl")
    assert chosen_path("/none/a.ctl") == "/none/a.ctl"
