"""Files that the host sends by itself (``wsgi.file_wrapper``, W41)."""

from __future__ import annotations

import os
from collections.abc import Collection
from stat import S_ISREG
from typing import Any

from bridge.types import Message

ZERO_COPY_SEND = "http.response.zerocopysend"
PATH_SEND = "http.response.pathsend"


def file_message(file: Any, count: int | None, extensions: Collection[str]) -> Message | None:
    """Make the message that has the host send `count` bytes of an open file from its position.

    None for `count` is all of them. Returns None if the file is no regular file, or if the host's
    `extensions` cannot send this part of it.
    """
    try:
        descriptor, position = file.fileno(), file.tell()
        status = os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        return None
    if not S_ISREG(status.st_mode):
        return None
    if count is None:
        count = status.st_size - position
    if ZERO_COPY_SEND in extensions:
        return {"type": ZERO_COPY_SEND, "file": descriptor, "offset": position, "count": count}
    path = getattr(file, "name", None)
    if (
        PATH_SEND in extensions
        and isinstance(path, str)
        and (position, count) == (0, status.st_size)
        and _is_at(path, status)
    ):
        return {"type": PATH_SEND, "path": os.path.abspath(path)}
    return None


def _is_at(path: str, status: os.stat_result) -> bool:
    """Whether the file at `path` is the open one: it may have been renamed, or removed."""
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False
