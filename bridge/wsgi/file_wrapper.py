"""``wsgi.file_wrapper``: open files as responses (PEP 3333; W41)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class FileWrapper:
    """``wsgi.file_wrapper``: an open file as a response (PEP 3333, Platform-Specific Files).

    The file is sent from its position on. Hosts that can do so have the system send it (sendfile);
    others iterate over it, in blocks of `block_size` bytes.
    """

    def __init__(self, file: Any, block_size: int = 65536) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        block: bytes = self.file.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def size(self) -> int | None:
        """Return the number of bytes from the position to the end; None if it is not known."""
        file = self.file
        if hasattr(file, "encoding"):
            return None  # a text file: characters are not bytes
        try:
            position: int = file.tell()
            file.seek(0, 2)
            end: int = file.tell()
            file.seek(position)
        except (AttributeError, OSError, ValueError, TypeError):
            return None
        return end - position if end > position else None  # the end of a device is 0

    def has_descriptor(self) -> bool:
        """Whether the file has a descriptor, which sendfile needs."""
        try:
            return isinstance(self.file.fileno(), int)
        except (AttributeError, OSError, ValueError):
            return False
