"""How many workers: a number, or the processors of this process, by affinity and limit (O5)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.server.config.worker_count import WORKERS, usable_processors

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="the system has no affinity"
)


@pytest.fixture(autouse=True)
def _eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of this size is not at hand."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


def machine(root: Path, groups: str, **files: str) -> int:
    """What is usable with these `groups` of the process, and these files (`a__b` is `a/b`)."""
    (root / "cgroup").write_text(groups)
    for name, text in files.items():
        file = root / "mount" / name.replace("__", "/").replace("_DOT_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return usable_processors(root / "cgroup", root / "mount")


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("6400000 100000\n", 8),
        ("", 8),
        ("garbage\n", 8),
        ("1 0\n", 8),
    ],
)
def test_a_limit_of_version_2(tmp_path: Path, limit: str, count: int) -> None:
    """A part of a processor is rounded up; a limit above the affinity changes nothing."""
    assert machine(tmp_path, "0::/\n", cpu_DOT_max=limit) == count


def test_the_least_on_the_way_to_the_root(tmp_path: Path) -> None:
    """A pod's limit holds for the containers in it, which have none of their own."""
    found = machine(
        tmp_path,
        "0::/pod/box\n",
        pod__box__cpu_DOT_max="max 100000",
        pod__cpu_DOT_max="300000 100000",
    )
    assert found == 3


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "count"), [("-1\n", 8), ("250000\n", 3), ("", 8)])
def test_a_limit_of_version_1(tmp_path: Path, controllers: str, quota: str, count: int) -> None:
    """The group's name may be the host's, of which a container sees the root only."""
    place = controllers.replace(",", "_COMMA_")
    files = {f"{place}__cpu_DOT_cfs_quota_us": quota, f"{place}__cpu_DOT_cfs_period_us": "100000\n"}
    (tmp_path / "mount").mkdir()
    files = {name.replace("_COMMA_", ","): text for name, text in files.items()}
    groups = f"4:memory:/docker/abc\n3:{controllers}:/docker/abc\n0::/\n"
    assert machine(tmp_path, groups, **files) == count


def test_without_control_groups(tmp_path: Path) -> None:
    """Then the affinity alone counts; a line that is none is passed over."""
    assert usable_processors(tmp_path / "none", tmp_path) == 8
    assert machine(tmp_path, "garbage\n") == 8


def test_a_system_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There the number of processors counts."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_processors(tmp_path / "none", tmp_path) == 1


@pytest.mark.parametrize("auto", ["auto", " AUTO "])
def test_as_many_workers_as_processors(auto: str) -> None:
    """O5: `auto`, in any case, is a number once it is read; the real files here can be read."""
    assert 1 <= WORKERS.read(auto) == usable_processors() <= 8


@pytest.mark.parametrize("given", [4, "4"])
def test_a_number_of_workers(given: object) -> None:
    """O5: a number is a number."""
    assert WORKERS.read(given) == 4


@pytest.mark.parametrize("wrong", ["some", "2.5", True, None])
def test_no_number_of_workers(wrong: object) -> None:
    """O5: anything else is refused."""
    with pytest.raises((TypeError, ValueError)):
        WORKERS.read(wrong)
