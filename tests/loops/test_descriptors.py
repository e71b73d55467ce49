"""Files that are opened, and duplicates of descriptors."""

from __future__ import annotations

import gzip
import os
import select
import socket
import tempfile
import threading
from io import BytesIO
from pathlib import Path

import pytest

from bridge.loops.descriptors import Duplicate, input_ended, open_file, regular_file


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A24 S10: a FIFO, a device, a folder and nothing at all are errors, at once."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "to the fifo").symlink_to("fifo")
    (tmp_path / "to nothing").symlink_to("nothing")
    for path in (tmp_path / "fifo", tmp_path / "to the fifo", tmp_path, Path("/dev/null")):
        with pytest.raises(OSError, match="not a regular file"):
            open_file(str(path))
    for path in (tmp_path / "nothing", tmp_path / "to nothing"):
        with pytest.raises(FileNotFoundError):
            open_file(str(path))


def test_changed_between_the_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A24 S10: what was put in the place of the file meanwhile is closed again, and is no file."""
    os.mkfifo(tmp_path / "fifo")
    regular = os.stat(__file__)
    opened: list[int] = []
    really = os.open
    monkeypatch.setattr(os, "stat", lambda _: regular)
    monkeypatch.setattr(os, "open", lambda *given: opened.append(really(*given)) or opened[0])
    with pytest.raises(OSError, match="not a regular file"):
        open_file(str(tmp_path / "fifo"))
    assert not is_open(opened[0])


def test_links_are_followed(tmp_path: Path) -> None:
    """A24 S10: a link to a regular file is as good as the file."""
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    descriptor = open_file(str(tmp_path / "link"))
    assert os.read(descriptor, 9) == b"text"
    os.close(descriptor)


@pytest.mark.parametrize("unread", [b"", b"x" * 1000])
def test_end_of_input(unread: bytes) -> None:
    """A40: the end of a client's side is seen behind what it has sent; nothing is taken."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not input_ended(ours.fileno())
        theirs.sendall(unread)
        assert not input_ended(ours.fileno())
        theirs.shutdown(socket.SHUT_WR)
        if hasattr(select, "POLLRDHUP"):
            assert input_ended(ours.fileno())
        theirs.close()
        assert input_ended(ours.fileno())
        assert ours.recv(2000) == unread


@pytest.fixture
def descriptor(tmp_path: Path) -> int:
    (tmp_path / "file").write_bytes(b"text")
    return os.open(tmp_path / "file", os.O_RDONLY)


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def count_of(descriptor: int) -> int:
    """How many descriptors this process has of the same file."""
    file = os.fstat(descriptor)
    numbers = [int(name) for name in os.listdir("/dev/fd")]
    return sum(is_open(each) and os.path.samestat(os.fstat(each), file) for each in numbers)


def test_outlives_the_original(descriptor: int) -> None:
    """A40: what was duplicated can be used when its owner has closed the original."""
    twin = Duplicate(descriptor)
    os.close(descriptor)
    taken = twin.take()
    assert taken is not None
    assert os.pread(taken, 4, 0) == b"text"
    os.close(taken)


def test_one_taker(descriptor: int) -> None:
    """A40: one caller gets the descriptor, and what was taken is never closed here."""
    twin = Duplicate(descriptor)
    taken: list[int] = []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        if (mine := twin.take()) is not None:
            taken.append(mine)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert not twin.close()
    twin.__del__()
    assert is_open(taken[0])
    os.close(taken[0])
    os.close(descriptor)


@pytest.mark.parametrize("explicitly", [True, False])
def test_closed(explicitly: bool, descriptor: int) -> None:
    """A40: a descriptor that nobody took is closed, at the latest with its object."""
    twin = Duplicate(descriptor)
    assert count_of(descriptor) == 2
    if explicitly:
        assert twin.close()
        assert twin.take() is None
    else:
        del twin
    assert count_of(descriptor) == 1
    os.close(descriptor)


def test_closed_original() -> None:
    """A40: there is nothing to duplicate in a socket that is closed: an OSError says so."""
    with pytest.raises(OSError):
        Duplicate(-1)


def test_what_is_replaced_while_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A24, S10: what is no regular file any more when it is open is closed again, and an error."""
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_bytes(b"text")
    other.mkdir()
    opened: list[int] = []
    really_open = os.open

    def replaced(path: str, flags: int) -> int:
        opened.append(really_open(other, os.O_RDONLY))
        return opened[-1]

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(OSError, match="not a regular file"):
        open_file(str(file))
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_the_number_of_a_duplicate(tmp_path: Path) -> None:
    """W41: the number of a duplicate stays its own, until it is taken or closed."""
    with (tmp_path / "file").open("wb") as file:
        duplicate = Duplicate(file.fileno())
    assert os.fstat(duplicate.number())
    assert duplicate.close()
    with pytest.raises(IndexError):
        duplicate.number()


def test_regular_files(tmp_path: Path) -> None:
    """W41, A24: only what reads a regular file, byte by byte as it is, has a descriptor to send."""
    path = tmp_path / "file"
    path.write_bytes(b"text")
    with (
        path.open("rb") as buffered,
        path.open("rb", buffering=0) as raw,
        path.open("r+b") as both,
        tempfile.NamedTemporaryFile() as named,
    ):
        for file in (buffered, raw, both, named):
            assert regular_file(file) == file.fileno()
        with gzip.open(path) as zipped:
            assert regular_file(zipped) is None
    with open(os.devnull, "rb") as device:
        assert regular_file(device) is None
    assert regular_file(BytesIO(b"text")) is None
