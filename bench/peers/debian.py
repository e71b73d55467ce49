"""Debian's build of CPython 3.13, from its packages.

``python -m bench.peers.debian [--mirror URL]`` prints the place of the interpreter.

The packages are fetched by apt, which checks their signatures, and unpacked into the bench's own
folder, with all libraries that they need, Debian's C library among them. So that build runs on each
system that has apt, whatever its release. Nothing is installed, and no root is needed: apt gets a
list of sources, a state and a cache of its own.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.peers.environments import VENVS

FOLDER = VENVS / "debian"
#: The release that has CPython 3.13, and what is wanted of it; apt adds what they depend on.
#: Our accelerator needs the headers, some peers libstdc++, virtual environments a pip.
SUITE = "trixie"
PACKAGES = ("python3.13", "libpython3.13-dev", "libstdc++6", "patchelf", "python3-pip-whl")
#: Another mirror than this system's; a system that is not Debian has none.
MIRROR = "BENCH_DEBIAN_MIRROR"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: What an interpreter must be able to import to be whole.
WHOLE = "import bz2, ctypes, lzma, readline, sqlite3, ssl, uuid, zlib"


def python(mirror: str = "", folder: Path = FOLDER) -> str:
    """The place of the interpreter, which is fetched if it is not there.

    Raises ``SystemExit``, which says what to do, if it cannot be had here.
    """
    found = folder / "root/usr/bin/python3.13"
    whole, wanted = folder / "whole", " ".join(PACKAGES)
    if not whole.exists() or whole.read_text() != wanted:
        print("bench: fetching Debian's CPython 3.13", file=sys.stderr)
        _check()
        shutil.rmtree(folder, ignore_errors=True)
        _unpack(_fetch(mirror or os.environ.get(MIRROR) or _mirror(), folder), folder / "root")
        _at_home(found, folder / "root/usr")
        _run(str(found), "-c", WHOLE)
        whole.write_text(wanted)
    return str(found)


def _check() -> None:
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing or not KEYRING.exists():
        raise SystemExit(
            "bench: Debian's CPython is unpacked from its packages, and that needs "
            f"{', '.join(missing) or KEYRING} (Debian, Ubuntu: apt, dpkg, debian-archive-keyring). "
            "Without them, name an optimised CPython: --python PATH --label NAME"
        )


def _mirror() -> str:
    """The mirror from which this system has its packages, if it is Debian."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    done = subprocess.run([*command, "Label: Debian"], capture_output=True, text=True)
    mirrors = done.stdout.split()
    if not mirrors:
        raise SystemExit(
            "bench: this system is not Debian, so apt knows no mirror of Debian's packages; name "
            f"one: {MIRROR}=URL (another CPython: --python PATH --label NAME)"
        )
    return mirrors[0]


def _fetch(mirror: str, folder: Path) -> Iterator[Path]:
    """The packages that are wanted, and all that they depend on."""
    state, cache = folder / "apt/state", folder / "apt/cache"
    (state / "lists/partial").mkdir(parents=True)
    (cache / "archives/partial").mkdir(parents=True)
    sources, status = folder / "apt/sources.list", folder / "apt/status"
    sources.write_text(f"deb [signed-by={KEYRING}] {mirror.rstrip('/')} {SUITE} main\n")
    status.touch()  # nothing is installed, so that the closure is whole
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State": state,
        "Dir::State::status": status,
        "Dir::Cache": cache,
        "APT::Sandbox::User": getpass.getuser(),
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-qq", "-y", *(f"-o{name}={value}" for name, value in options.items())]
    _run(*apt, "update", "--error-on=any")
    _run(*apt, "install", "--download-only", "--no-install-recommends", *PACKAGES)
    return (cache / "archives").glob("*.deb")


def _unpack(packages: Iterator[Path], root: Path) -> None:
    for package in packages:
        _run("dpkg-deb", "-x", str(package), str(root))


def _at_home(python: Path, usr: Path) -> None:
    """Let the interpreter run with the libraries beside it, not with those of this system.

    In two steps: both at once break it, as it is not position-independent (patchelf 0.18). And let
    what is compiled for it find its configuration, which a header includes from /usr/include.
    """
    loader = next(usr.glob("lib/*/ld-linux-*.so.*"))
    libraries = str(loader.parent)
    patchelf = [str(loader), "--library-path", libraries, str(usr / "bin/patchelf")]
    _run(*patchelf, "--force-rpath", "--set-rpath", libraries, str(python))
    _run(*patchelf, "--set-interpreter", str(loader), str(python))
    configuration = next(usr.glob("include/*/python3.13/pyconfig.h"))
    shutil.copy(configuration, usr / "include/python3.13/pyconfig.h")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise SystemExit(
            f"bench: no CPython from Debian's packages: {Path(command[0]).name}: {said[0]} "
            f"(another mirror: {MIRROR}=URL; another CPython: --python PATH --label NAME)"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.peers.debian")
    parser.add_argument("--mirror", default="", help=f"instead of this system's (also: {MIRROR})")
    print(python(parser.parse_args().mirror))
