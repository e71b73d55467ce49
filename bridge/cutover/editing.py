"""Turn a switch in the file of a cutover, and leave all else in it as it stands (M3, M5).

The file is read at that moment, so what somebody else has changed in it stays, and is checked as
well. It is replaced as a whole, or not at all.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bridge.cutover.route import CANARY, Route
from bridge.cutover.settings_file import check_size, decoded, find_table, parse_plan, read_bytes
from bridge.cutover.switches import Switches
from bridge.errors import ConfigError

#: How often, and how many seconds apart, it is tried to be the only writer.
_TRIES: Final = 10
_PAUSE: Final = 0.02


def switch_in_file(path: str, name: str, mode: str, share: float | str | None = None) -> Route:
    """Switch a route, and return it as it is now. Raises `ConfigError`: then nothing changes."""
    return switch_and_read(path, name, mode, share)[0]


def switch_and_read(
    path: str,
    name: str,
    mode: str,
    share: float | str | None = None,
    *,
    check: Callable[[str], object] | None = None,
) -> tuple[Route, str]:
    """Switch a route; return it as it is now, and the text of the file. Raises `ConfigError`.

    `check` is called with the text that stands there, when nobody else of ours can write any more.
    """
    file = Path(os.path.realpath(path))  # a link stays one
    try:
        with _alone(file.parent):
            before = read_bytes(str(file))
            text = decoded(before)
            if check is not None:
                check(text)
            route, text = switch_in_text(text, name, mode, share)
            after = _as_before(before, text)
            check_size(after)
            _replace(file, before, after)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be changed: {error.strerror}; let this user write there, "
            "or change it by hand"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not TOML: it is not UTF-8; save it as UTF-8") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return route, text


def switch_in_text(
    text: str, name: str, mode: str, share: float | str | None = None
) -> tuple[Route, str]:
    """Switch a route in the text of a file; return it, and the text. Raises `ConfigError`."""
    tomlkit = _tomlkit()
    is_windows = _is_windows(text)
    route = Switches(parse_plan(text).routes).set(name, mode, share)
    try:
        document = tomlkit.parse(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"it cannot be changed: {error}") from None
    (row,) = (each for each in find_table(document)["routes"] if each["name"] == name)
    row["mode"] = route.mode
    if route.mode == CANARY and isinstance(route.share, float):
        row["share"] = int(route.share) if route.share.is_integer() else route.share
    text = tomlkit.dumps(document)
    if is_windows:  # new lines have the ends of those before
        *lines, last = text.split("\n")
        text = "\n".join([*(line.removesuffix("\r") + "\r" for line in lines), last])
    return route, text


def _is_windows(text: str) -> bool:
    """Whether each line ends as editors on Windows write it."""
    return 0 < text.count("\n") == text.count("\r\n")


def _as_before(before: bytes, text: str) -> bytes:
    """Return the bytes of a file; a BOM stays if there was one."""
    return (codecs.BOM_UTF8 if before.startswith(codecs.BOM_UTF8) else b"") + text.encode()


def _replace(file: Path, before: bytes, after: bytes) -> None:
    """Put `after` in the place of `before`, with its owner and mode.

    Raises `ConfigError` if something else is there now.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as other:
            was = file.stat()
            if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(other.fileno(), was.st_uid, was.st_gid)
            os.fchmod(other.fileno(), was.st_mode & 0o7777)
            other.write(after)
            other.flush()
            os.fsync(other.fileno())
        if read_bytes(str(file)) != before:
            raise ConfigError("somebody else has just changed it; give the order again")
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Have no other writer of ours in that directory meanwhile. Raises `ConfigError`.

    Some file systems lock no directories: there `_replace` is what notices others.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_PAUSE)
            except OSError:  # such as NFS
                break
        else:
            raise ConfigError("somebody else is just changing it; give the order again")
        yield
    finally:
        os.close(descriptor)


def _tomlkit() -> Any:
    try:
        import tomlkit
    except ImportError as error:
        raise ConfigError(
            "to change a file without losing its comments, tomlkit is needed, which is not "
            'installed: python -m pip install "asgi-bridge[cutover]"; or change the file by hand, '
            "and send SIGHUP"
        ) from error
    return tomlkit
