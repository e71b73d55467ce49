"""``wsgi.file_wrapper``: open files as responses (PEP 3333; W41)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class FileWrapper:
    """``wsgi.file_wrapper``: an open file as a response (PEP 3333, Platform-Specific Files).

    It sends from the file's position on. A host that can sends the file itself; else it is
    iterated over, in blocks of `block_size` bytes.
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
        """The bytes from the position to the end; None if that cannot be known."""
        file = self.file
        if hasattr(file, "encoding"):
            return None  # text: its length is not that of its bytes
        try:
            position: int = file.tell()
            file.seek(0, 2)
            end: int = file.tell()
            file.seek(position)
        except (AttributeError, OSError, ValueError, TypeError):
            return None
        return end - position if end > position else None  # a device has its end at 0

    def has_descriptor(self) -> bool:
        """Whether the operating system knows the file, so that a host could send it by itself."""
        try:
            return isinstance(self.file.fileno(), int)
        except (AttributeError, OSError, ValueError):
            return False
