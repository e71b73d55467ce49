"""``wsgi.file_wrapper``: what it knows of a file, and how it is iterated over."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from bridge.wsgi.file_wrapper import FileWrapper


class Unseekable(io.BytesIO):
    """A file such as a pipe."""

    def tell(self) -> int:
        raise OSError("not seekable")


def test_blocks() -> None:
    """W41: from the file's position on, in blocks."""
    file = io.BytesIO(b"abcdefg")
    file.seek(1)
    assert list(FileWrapper(file, 4)) == [b"bcde", b"fg"]


def test_close() -> None:
    """W41: it has `close` if the file has, and that closes the file."""
    file = io.BytesIO(b"abc")
    FileWrapper(file).close()
    assert file.closed
    assert not hasattr(FileWrapper(object()), "close")


@pytest.mark.parametrize(
    ("file", "size"),
    [
        (io.BytesIO(b"abc"), 3),
        (io.BytesIO(b""), None),
        (io.StringIO("text"), None),
        (Unseekable(b"abc"), None),
        (object(), None),
    ],
)
def test_size(file: Any, size: int | None) -> None:
    """W41: the bytes from the position to the end; None if that cannot be known."""
    assert FileWrapper(file).size() == size


def test_size_of_a_part(tmp_path: Path) -> None:
    """W41: the position stays where it was."""
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    with path.open("rb") as file:
        file.seek(2)
        assert FileWrapper(file).size() == 4
        assert file.tell() == 2
    with Path(os.devnull).open("rb") as device:
        assert FileWrapper(device).size() is None


def test_has_descriptor(tmp_path: Path) -> None:
    """W41: only what the operating system knows can be sent by it."""
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        assert FileWrapper(file).has_descriptor()
    for other in (io.BytesIO(b"abc"), object(), file):
        assert not FileWrapper(other).has_descriptor()
