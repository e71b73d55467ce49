"""Debian's build of CPython comes from its packages, or the bench says why not and what to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bench.peers import debian

needs_apt = pytest.mark.skipif(
    not (shutil.which("apt-get") and shutil.which("dpkg-deb") and debian.KEYRING.exists()),
    reason="needs apt and Debian's keys",
)


def test_without_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without apt is told what is missing, and what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match=r"needs apt-get, dpkg-deb .*--python PATH"):
        debian.python(folder=tmp_path / "debian")


@needs_apt
def test_mirror_that_has_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What apt said about a mirror is told, and how to name another; the next call tries again."""
    monkeypatch.setenv(debian.MIRROR, f"file://{tmp_path}/mirror")
    for _ in range(2):
        with pytest.raises(SystemExit, match=rf"apt-get: .*mirror.*{debian.MIRROR}=URL"):
            debian.python(folder=tmp_path / "debian")


def test_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that is whole is used again, without a look at the mirror."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "whole").write_text(" ".join(debian.PACKAGES))
    assert debian.python(folder=tmp_path) == str(tmp_path / "root/usr/bin/python3.13")


def test_a_system_that_is_not_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where apt knows no mirror of Debian, it is told how to name one."""
    (tmp_path / "key").touch()
    for tool in ("apt-get", "dpkg-deb"):
        (tmp_path / tool).write_text("#!/bin/sh\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(debian, "KEYRING", tmp_path / "key")
    monkeypatch.delenv(debian.MIRROR, raising=False)
    with pytest.raises(SystemExit, match=rf"no mirror .*name one: {debian.MIRROR}=URL"):
        debian.python(folder=tmp_path / "debian")
