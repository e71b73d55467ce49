"""What the real databases for tests have in common: their own user, their folder, their end."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.hosts import Host


def needs(package: str, *programs: str) -> pytest.MarkDecorator:
    """Skip tests if one of the programs of Debian's `package` is missing."""
    missing = [name for name in ("setpriv", *programs) if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs Debian's package {package}")


def user(name: str) -> str | None:
    """The user that a database runs as: `name` if this process is root, else whoever it is."""
    if os.geteuid() != 0:
        return None
    return name if any(entry.pw_name == name for entry in pwd.getpwall()) else "nobody"


def as_user(name: str | None, stop: str) -> tuple[str, ...]:
    """What comes before a command, so that it runs as that user, and is sent `stop` if we die."""
    prefix = ("setpriv", "--pdeathsig", stop)
    if name is None:
        return prefix
    group = str(pwd.getpwnam(name).pw_gid)
    return (*prefix, "--reuid", name, "--regid", group, "--clear-groups")


@contextmanager
def folder_of(name: str | None) -> Iterator[Path]:
    """A folder that belongs to the user, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="bridge-data-", ignore_cleanup_errors=True) as folder:
        if name is not None:
            shutil.chown(folder, name)
        yield Path(folder)


def make(argv: Sequence[str], folder: Path) -> None:
    """Run a command to its end in `folder`; what it says is in the error if it fails."""
    done = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120
    )
    assert done.returncode == 0, f"{argv} failed: {done.stdout}{done.stderr}"


def stop(host: Host, number: signal.Signals) -> None:
    """End a database by the signal that makes it drop its clients; its data is not needed."""
    if host.process.poll() is None:
        host.process.send_signal(number)
