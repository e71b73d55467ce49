"""Where the control socket of a server is, and where `ctl` looks for one (O3).

By default it is ``PID.ctl`` in a directory that only its user can enter: so two servers of one user
never want the same name, whatever they listen at, and nobody else can put a socket there. The
directory is the first of `directories` that can be made or used. `ctl` looks in all of them,
because the environment of a shell is not that of a service.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import Final

from bridge.errors import ConfigError
from bridge.server.network.listeners import remove_stale

SUFFIX: Final = ".ctl"
#: Made by the system or by root, and so trusted whoever owns what is in it.
_SYSTEM: Final = "/run/"


def directories(environ: Mapping[str, str]) -> list[str]:
    """Return the directories, the best first."""
    user = os.geteuid()
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    temporary = environ.get("TMPDIR", "")
    found = [os.path.join(runtime, "asgi-bridge")] if os.path.isabs(runtime) else []
    found += [f"{_SYSTEM}asgi-bridge", f"{_SYSTEM}user/{user}/asgi-bridge"]
    for each in (temporary, "/tmp"):
        if os.path.isabs(each):
            found.append(os.path.join(each, f"asgi-bridge-{user}"))
    return list(dict.fromkeys(found))


def default_path(environ: Mapping[str, str]) -> str:
    """Return the path for the socket of this process, and make its directory.

    Sockets of servers that were killed are removed there. Raises `ConfigError`.
    """
    tried = directories(environ)
    for directory in tried:
        if _make_private(directory):
            for path in _sockets(directory):
                _remove_if_stale(path)
            return os.path.join(directory, f"{os.getpid()}{SUFFIX}")
    raise ConfigError(
        f"none of {', '.join(tried)} can be made, or is a directory that only this user can enter; "
        "say --control-socket PATH"
    )


def chosen_path(setting: str) -> str:
    """Return the path that an operator chose. Raises `ConfigError` if anybody could swap it."""
    path = os.path.abspath(setting)
    directory = os.path.dirname(path)
    try:
        mode = os.stat(directory).st_mode
    except OSError:
        return path  # `open_unix` says what is wrong
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise ConfigError(
            f"in {directory} any user could put another socket at its place; "
            "choose a directory that only this user may write to"
        )
    return path


def sockets(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the path of each control socket that this user can find, also of stale ones."""
    for directory in directories(environ):
        if directory.startswith(_SYSTEM) or _is_private(directory):
            yield from _sockets(directory)


def _sockets(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return []
    return [os.path.join(directory, name) for name in names if name.endswith(SUFFIX)]


def _remove_if_stale(path: str) -> None:
    try:
        remove_stale(path)
    except (OSError, ConfigError):
        pass  # another server lives there; or it is no socket, and not ours


def _make_private(directory: str) -> bool:
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError:
        return False
    return _is_private(directory) and os.access(directory, os.W_OK | os.X_OK)


def _is_private(directory: str) -> bool:
    """Whether it is a directory, and no link to one, that is ours and closed to all others."""
    try:
        found = os.lstat(directory)
    except OSError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return mine and not found.st_mode & 0o077
