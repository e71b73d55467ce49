"""The oldest allowed versions, as pip's constraints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from tests.support.hosts import ROOT
from tools.oldest import constraints


def test_a_lower_bound_is_a_constraint() -> None:
    """`name>=1.2` is tested with 1.2, on those systems for which it is asked for."""
    assert constraints(["click>=8.1.3", "uvloop >= 0.21; sys_platform != 'win32'"]) == [
        "click==8.1.3",
        "uvloop==0.21; sys_platform != 'win32'",
    ]


@pytest.mark.parametrize("dependency", ["click", "click>8", "click>=8.1,<9", "click[x]>=8"])
def test_what_has_no_plain_lower_bound_is_refused(dependency: str) -> None:
    """What could not be tested is an error that shows how to write it."""
    with pytest.raises(ValueError, match=r"click.* has no lower bound: write it as name>=1\.2"):
        constraints([dependency])


def test_the_package_says_what_it_needs() -> None:
    """Each base dependency has a constraint, and what is installed here is no older."""
    command = [sys.executable, "-m", "tools.oldest"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    oldest = dict(line.partition(";")[0].split("==") for line in run.stdout.splitlines())
    base = [each for each in requires("asgi-bridge") or () if "extra ==" not in each]
    assert len(oldest) == len(base) > 0
    for name, least in oldest.items():
        assert _numbers(version(name)) >= _numbers(least), name


@pytest.mark.parametrize("supported", ["3.0 THIS", "THIS 3.0"], ids=["oldest", "newer"])
def test_only_the_oldest_python_gets_them(supported: str, tmp_path: Path) -> None:
    """`scripts/_environment` asks for the oldest there, and elsewhere for nothing: the newest."""
    this = "{}.{}".format(*sys.version_info)
    code = f"""
        source scripts/_environment
        supported=({supported.replace("THIS", this)})
        venv={tmp_path}
        constraints
    """
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    printed = subprocess.check_output(["bash", "-ec", code], cwd=ROOT, text=True)
    assert bool(printed) == supported.endswith("THIS")


@pytest.mark.parametrize("supported", ["3.0", "3.0 THIS"], ids=["alone", "beside"])
def test_a_newer_python_is_taken_where_it_is_alone(supported: str) -> None:
    """`scripts/_environment` takes one that `.ci/run` does not ask for if there is no other."""
    this = "{}.{}".format(*sys.version_info)
    newer = "3.1" if "THIS" in supported else this
    code = f"""
        source scripts/_environment
        supported=({supported.replace("THIS", this)}) newer=({newer})
        unset PYTHON
        choose_python
        "$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", "-ec", code]
    env = {**os.environ, "PATH": path}
    assert subprocess.check_output(command, cwd=ROOT, env=env, text=True) == f"{this}\n"


def test_nothing_keeps_the_newest_from_the_tests() -> None:
    """No dependency has an upper bound: an environment that is made anew has the newest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    every = [*project["dependencies"], *(each for extra in extras for each in extra)]
    assert [each for each in every if re.search("<|[=~]=", each.partition(";")[0])] == []


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".")[:3] if part.isdigit()]
