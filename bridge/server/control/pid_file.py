"""The file with the pid of the server, for scripts and supervisors that read one (O8).

It is written in one step when the server listens, and removed at the end by the process that wrote
it. The file of a server that was killed is replaced. Its pid may belong to another process by now,
after a restart of the machine or of the container: a process that is younger than the file did not
write it.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.config.config import Config
from bridge.server.control.usage import age
from bridge.server.network.listeners import directory_lock

#: Seconds by which the times of a file and of a process may differ from what they are.
_INACCURACY: Final = 2.0
#: No pid is longer.
_LONGEST: Final = 32


@asynccontextmanager
async def pid_file(config: Config) -> AsyncIterator[Callable[[], None]]:
    """Yield what writes the file that `config` names, once the server listens.

    It is removed at the end of the block. Raises `ConfigError`, also before the start, if a server
    lives whose pid is there.
    """
    if config.pid is None:
        yield lambda: None
        return
    PidFile.check(config.pid)
    written: list[PidFile] = []
    try:
        yield lambda: written.append(PidFile.write(config.pid or ""))
    finally:
        for each in written:
            each.remove()


class PidFile:
    """A file that was written by `write`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._owner = os.getpid()

    @staticmethod
    def check(path: str) -> None:
        """Raise `ConfigError` if the server lives whose pid is at `path`."""
        try:
            _refuse_living(path)
        except OSError as error:
            raise _unusable(path, error) from error

    @classmethod
    def write(cls, path: str) -> PidFile:
        """Write the pid of this process to `path`.

        Raises `ConfigError` if the server lives whose pid is there, or the file cannot be written.
        """
        import tempfile  # other processes need not load it

        path = os.path.abspath(path)
        directory = os.path.dirname(path)
        try:
            with directory_lock(directory):
                _refuse_living(path)
                descriptor, name = tempfile.mkstemp(prefix=".pid-", dir=directory)
                try:
                    with os.fdopen(descriptor, "w") as file:
                        file.write(f"{os.getpid()}\n")
                        os.fchmod(file.fileno(), 0o644)
                    os.rename(name, path)
                except BaseException:
                    os.unlink(name)
                    raise
        except OSError as error:
            raise _unusable(path, error) from error
        return cls(path)

    def remove(self) -> None:
        """Remove it, if this process wrote it, and nobody else has since."""
        if os.getpid() != self._owner or _pid_in(self._path) != self._owner:
            return
        try:
            os.unlink(self._path)
        except OSError as error:
            logger.warning("the pid file %s could not be removed: %s", self._path, error.strerror)


def _unusable(path: str, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot write the pid file {path}: {error.strerror}; choose another with --pid, in a "
        "directory of this user"
    )


def _refuse_living(path: str) -> None:
    """Raise `ConfigError` if `path` is no pid file, or that of a process that lives."""
    pid = _pid_in(path)
    if pid == -1:
        raise ConfigError(
            f"{path} is no pid file, and is not overwritten; remove it, or choose another with "
            "--pid"
        )
    if pid in (0, os.getpid()) or not _lives(pid) or _is_younger(pid, path):
        return
    raise ConfigError(
        f"a server runs already: process {pid}, says the pid file {path}. Stop that one first "
        f"(kill {pid}), or choose another file with --pid"
    ) from OSError(errno.EADDRINUSE, "in use")  # for the exit code: an address is, too


def _pid_in(path: str) -> int:
    """Return the pid in a file; 0: there is none, or the file is empty; -1: something else."""
    try:
        with open(path, "rb") as file:
            content = file.read(_LONGEST).strip()
    except FileNotFoundError:
        return 0
    if not content:
        return 0
    return int(content) if content.isdigit() and len(content) < _LONGEST else -1


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _is_younger(pid: int, path: str) -> bool:
    """Whether the process `pid` was started after the file was written."""
    old = age(pid)
    written = time.time() - os.stat(path).st_mtime
    return old is not None and old + _INACCURACY < written
