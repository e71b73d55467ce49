"""Which code reads plain heads: what is compiled, or Python alone; and what is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.support import compiled

ROOT = Path(__file__).parents[1]
#: What a package is made of.
PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE")
USED = "from bridge import accelerator as a; print(a.read_head, a.add_headers)"


def run(code: str, folder: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run `code` where the package of `folder` is imported."""
    environment = {**os.environ, "PYTHONPATH": str(folder), **environ}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


# ------------------------------------------------------------- the choice


def test_python_alone_is_chosen_by_a_variable() -> None:
    """With `no` nothing compiled is used, nor even loaded."""
    code = f"{USED}; import sys; print('bridge.accelerator.speedups' in sys.modules)"
    assert run(code, BRIDGE_SPEEDUPS="no").stdout.split() == ["None", "None", "False"]


def test_a_value_that_is_not_known() -> None:
    """A variable that says neither yes nor no is an error, which tells what to write."""
    done = run(USED, BRIDGE_SPEEDUPS="maybe")
    assert done.returncode == 1
    assert "ConfigError: BRIDGE_SPEEDUPS is 'maybe'; it must be yes, no, or not set" in done.stderr


# ------------------------------------------------------------- what is installed


@pytest.fixture
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh copy of the sources, without anything that was compiled from them."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("source")
    for name in PARTS:
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "bridge", folder / "bridge", ignore=shutil.ignore_patterns("*.so", "__pycache__")
    )
    return folder


def build(source: Path, kind: str, target: Path, **environ: str) -> Path:
    """Have setuptools make a `kind` of distribution, as pip has it make one."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(target)!r})"
    done = run(code, source, **environ)
    assert done.returncode == 0, done.stderr
    (made,) = target.iterdir()
    return made


def names(wheel: Path) -> list[str]:
    """The files of the accelerator that a wheel installs."""
    return sorted(
        Path(name).name for name in ZipFile(wheel).namelist() if name.startswith("bridge/accel")
    )


def test_without_a_compiler(source: Path, tmp_path: Path) -> None:
    """Without a C compiler the package is installed all the same, and Python does the work."""
    wheel = build(source, "wheel", tmp_path, CC="false", LDSHARED="false")
    assert names(wheel) == ["__init__.py", "speedups.pyi"]
    ZipFile(wheel).extractall(tmp_path)
    assert run(USED, tmp_path).stdout.split() == ["None", "None"]
    wanted = run(USED, tmp_path, BRIDGE_SPEEDUPS="yes")
    assert wanted.returncode == 1
    assert "ConfigError: BRIDGE_SPEEDUPS is yes, and the compiled module cannot" in wanted.stderr
    assert "No module named 'bridge.accelerator.speedups'; install" in wanted.stderr


@pytest.mark.skipif(not compiled.can_compile(), reason="nothing can be compiled here")
def test_with_a_compiler(source: Path, tmp_path: Path) -> None:
    """With one the accelerator is installed, and used unless the variable says no."""
    wheel = build(source, "wheel", tmp_path)
    assert [name.partition(".")[0] for name in names(wheel)] == ["__init__", "speedups", "speedups"]
    ZipFile(wheel).extractall(tmp_path)
    for variable in ("", "yes"):
        used = run(USED, tmp_path, BRIDGE_SPEEDUPS=variable).stdout
        assert used.count("built-in function") == 2
    assert run(USED, tmp_path, BRIDGE_SPEEDUPS="no").stdout.split() == ["None", "None"]


def test_the_source_is_distributed(source: Path, tmp_path: Path) -> None:
    """Who installs from the source distribution can compile it."""
    with tarfile.open(build(source, "sdist", tmp_path)) as archive:
        files = {Path(name).name for name in archive.getnames() if "/bridge/accelerator/" in name}
    assert files == {"__init__.py", "clock.h", "speedups.c", "speedups.pyi"}
