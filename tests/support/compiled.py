"""The accelerator, compiled from its source as it stands now, whatever is installed."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import pytest

SOURCE = Path(__file__).parents[2] / "bridge" / "accelerator" / "speedups.c"
#: A warning is a mistake here; it is none where users install it.
FLAGS = ("-O1", "-fPIC", "-Wall", "-Wextra", "-Werror")


def linker() -> list[str]:
    """The compiler, as it makes shared libraries."""
    command = shlex.split(sysconfig.get_config_var("LDSHARED"))
    own = os.environ.get("CC")
    return [*shlex.split(own), *command[1:]] if own else command


def can_compile() -> bool:
    """Whether there is a compiler, and the headers of this Python."""
    headers = Path(sysconfig.get_path("include"), "Python.h")
    return shutil.which(linker()[0]) is not None and headers.exists()


@cache
def speedups() -> ModuleType:
    """``bridge.accelerator.speedups``. Skips the test if nothing can be compiled here."""
    if not can_compile():
        pytest.skip("no C compiler, or no headers of this Python")
    with TemporaryDirectory(prefix="bridge-speedups-") as folder:
        library = f"{folder}/speedups{sysconfig.get_config_var('EXT_SUFFIX')}"
        headers = f"-I{sysconfig.get_path('include')}"
        command = [*linker(), *FLAGS, headers, str(SOURCE), "-o", library]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, f"{shlex.join(command)}\n{built.stderr}"
        found = importlib.util.spec_from_file_location("bridge.accelerator.speedups", library)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
    return module
