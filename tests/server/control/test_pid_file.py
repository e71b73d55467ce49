"""Pid files: of this process, of others that live or are gone, and of no server at all."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.control import pid_file as module
from bridge.server.control.pid_file import PidFile, pid_file
from tests.support.hosts import ROOT, bridge, start
from tests.support.waiting import eventually


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which lives."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def test_the_pid_is_written_and_removed(path: Path) -> None:
    """O8: one line that everybody may read, and nothing else is left in the directory."""
    written = PidFile.write(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(path.parent.iterdir()) == [path]
    written.remove()
    written.remove()
    assert list(path.parent.iterdir()) == []


def test_a_living_server_is_named(path: Path, other: subprocess.Popen[bytes]) -> None:
    """O8: the start fails with its pid and what to do; the file stays as it is."""
    path.write_text(f"{other.pid}\n")
    with pytest.raises(ConfigError, match=f"a server runs already: process {other.pid}"):
        PidFile.write(str(path))
    assert path.read_text() == f"{other.pid}\n"


def test_the_file_of_a_server_that_is_gone_is_replaced(
    path: Path, other: subprocess.Popen[bytes]
) -> None:
    """O8: it was killed, and nobody has its pid; or the pid is no number that a process has."""
    other.kill()
    other.wait()
    for content in (f"{other.pid}\n", "99999999999999999999\n", "", f"{os.getpid()}\n"):
        path.write_text(content)
        PidFile.write(str(path))
        assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_pid_that_somebody_else_has_by_now_is_stale(
    path: Path, other: subprocess.Popen[bytes]
) -> None:
    """O8: after a restart of the machine or container any process may have it."""
    path.write_text(f"{other.pid}\n")
    old = time.time() - 3600
    os.utime(path, (old, old))
    PidFile.write(str(path)).remove()
    assert not path.exists()


def test_a_process_of_another_user_lives(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: that no signal may be sent to it does not mean that it is gone."""

    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(module.os, "kill", refuse)
    monkeypatch.setattr(module, "age", lambda _: None)
    path.write_text("1\n")
    with pytest.raises(ConfigError, match="process 1"):
        PidFile.write(str(path))


@pytest.mark.parametrize("content", ["shop:app\n", "1" * 100, "-1", "1 2"])
def test_a_file_of_another_kind_is_not_overwritten(path: Path, content: str) -> None:
    """O8: somebody has named the wrong file."""
    path.write_text(content)
    with pytest.raises(ConfigError, match="is no pid file, and is not overwritten"):
        PidFile.write(str(path))
    assert path.read_text() == content


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """O8: no such directory, or a directory in the way; nothing is left behind."""
    with pytest.raises(ConfigError, match="No such file or directory; choose another with --pid"):
        PidFile.write(str(tmp_path / "none" / "a.pid"))
    with pytest.raises(ConfigError, match="Is a directory"):
        PidFile.write(str(tmp_path))


def test_a_failure_in_the_middle_leaves_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: the file is there whole, or not at all."""

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "rename", fail)
    with pytest.raises(ConfigError, match="No space left on device"):
        PidFile.write(str(path))
    assert list(path.parent.iterdir()) == []


def test_only_the_owner_removes_it(path: Path) -> None:
    """O8: neither a forked worker, nor a server whose file another has taken over."""
    written = PidFile.write(str(path))
    child = os.fork()
    if not child:
        written.remove()
        os._exit(0)
    os.waitpid(child, 0)
    assert path.exists()
    path.write_text("7\n")
    written.remove()
    assert path.read_text() == "7\n"


def test_a_file_that_cannot_be_removed_is_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """O8: the server has ended all the same."""
    written = PidFile.write(str(path))

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "unlink", refuse)
        written.remove()
    assert f"the pid file {path} could not be removed: Permission denied" in caplog.text


# ------------------------------------------------------------- a whole server


def test_a_server_writes_it_when_it_listens(path: Path) -> None:
    """O8: `--pid`: there while it serves; a second server ends at once, with 1 and one line."""
    command = bridge("tests.support.apps.hello:wsgi", "--pid", str(path))
    with start(command) as host:
        eventually(path.exists)
        assert path.read_text() == f"{host.process.pid}\n"
        ended = run("serve", "tests.support.apps.hello:wsgi", "--port", "0", "-p", str(path))
        assert ended.returncode == 1
        assert ended.stderr.splitlines()[-1].startswith(
            f"Error: a server runs already: process {host.process.pid}, says the pid file {path}."
        )
        assert host.stop() == 0
    assert not path.exists()


def test_a_server_without_a_place_for_it_does_not_start(tmp_path: Path) -> None:
    """O8: wrong usage: 2, and one line."""
    ended = run("serve", "tests.support.apps.hello:wsgi", "--port=0", "--pid", str(tmp_path))
    assert ended.returncode == 2
    assert "Is a directory; choose another with --pid" in ended.stderr


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bridge", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_without_the_setting_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: there is no file that nobody has asked for."""
    monkeypatch.chdir(tmp_path)

    async def serve() -> None:
        async with pid_file(Config()) as write:
            write()

    asyncio.run(serve())
    assert list(tmp_path.iterdir()) == []
