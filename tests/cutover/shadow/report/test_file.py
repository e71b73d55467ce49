"""The bounded file of a report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bridge.cutover.shadow.report.file import FILES, LEAST_BYTES, BoundedFile, parts_of
from bridge.errors import ConfigError
from tests.support.hosts import ROOT

LINE = b'{"a": "%s"}\n' % (b"x" * 1000)


def sizes(path: Path) -> list[int]:
    """The sizes of all parts."""
    return [part.stat().st_size for part in parts_of(path)]


def test_a_file_is_bounded_and_private(tmp_path: Path) -> None:
    """M12: a report takes so many bytes on disk, in files that only their user may read."""
    path = tmp_path / "report"
    file = BoundedFile(path, LEAST_BYTES)
    for number in range(2_000):
        assert file.write(b"%05d" % number + LINE)
    assert len(sizes(path)) == FILES
    assert LEAST_BYTES * 0.7 < sum(sizes(path)) <= LEAST_BYTES
    assert {part.stat().st_mode & 0o777 for part in parts_of(path)} == {0o600}
    lines = b"".join(part.read_bytes() for part in parts_of(path)).splitlines()
    numbers = [int(line[:5]) for line in lines]
    assert numbers == list(range(numbers[0], 2_000))  # the newest, in order, and whole
    file.close()
    assert file.write(LINE)
    file.close()


def test_an_open_file_of_others_is_made_private(tmp_path: Path) -> None:
    """M12: a file that others may read is theirs no more; what is in it stays."""
    path = tmp_path / "report"
    path.write_bytes(LINE)
    path.chmod(0o644)
    BoundedFile(path).write(LINE)
    assert (path.stat().st_mode & 0o777, path.read_bytes()) == (0o600, LINE * 2)


def test_a_file_that_is_moved_or_deleted_begins_anew(tmp_path: Path) -> None:
    """M12: somebody else may move the file away, or delete it."""
    path = tmp_path / "report"
    file = BoundedFile(path)
    file.write(LINE)
    path.rename(tmp_path / "moved")
    file.write(LINE)
    assert path.read_bytes() == (tmp_path / "moved").read_bytes() == LINE


WRITER = """
import os, sys
from bridge.cutover.shadow.report.file import LEAST_BYTES, BoundedFile
file = BoundedFile(sys.argv[1], LEAST_BYTES * 4)
name = b"a"
if os.fork() == 0:
    name = b"b"  # with the open file of its parent
line = b'{"%s": "%s"}' % (name, b"x" * 3000)
for number in range(150):
    assert file.write(line + b"\\n")
if name == b"b":
    os._exit(0)
os.wait()
"""


def test_lines_of_several_processes_and_threads_stay_whole(tmp_path: Path) -> None:
    """M12: processes, forked ones as well, and threads write whole lines, while files move."""
    path = tmp_path / "report"
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", WRITER, str(path)]
    writers = [subprocess.Popen(command, env=environ) for _ in range(2)]
    file = BoundedFile(path, LEAST_BYTES * 4)
    line = b'{"c": "%s"}\n' % (b"x" * 3000)
    threads = [
        threading.Thread(target=lambda: [file.write(line) for _ in range(150)]) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [writer.wait(60) for writer in writers] == [0, 0]
    lines = b"".join(part.read_bytes() for part in parts_of(path)).splitlines()
    names = [next(iter(json.loads(each))) for each in lines]
    assert {name: names.count(name) for name in "abc"} == {"a": 300, "b": 300, "c": 300}
    assert len(parts_of(path)) > 1


def test_what_cannot_be_written_is_lost_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """M12: a folder that goes away, or a line that is too long, harms nobody; it is counted."""
    folder = tmp_path / "folder"
    folder.mkdir()
    file = BoundedFile(folder / "report", LEAST_BYTES)
    assert not file.write(b"x" * LEAST_BYTES)
    (folder / "report").unlink()
    folder.rmdir()
    assert not file.write(LINE)
    assert file.lost == 2
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder / 'report'}: lines are lost: a line of {LEAST_BYTES} bytes is too long"
    ]
    folder.mkdir()
    assert file.write(LINE)
    file.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """M12: of a line for which there was no room nothing stays."""
    path = tmp_path / "report"
    file = BoundedFile(path)
    file.write(LINE)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
        assert not file.write(LINE)
    assert path.read_bytes() == LINE
    file.close()


@pytest.mark.parametrize("kind", ["missing folder", "link", "folder", "too small"])
def test_bad_places_are_said(tmp_path: Path, kind: str) -> None:
    """M12: a report that cannot be written is an error at the start; a link is not followed."""
    path = tmp_path / "report"
    if kind == "missing folder":
        path = tmp_path / "none" / "report"
    elif kind == "link":
        path.symlink_to(tmp_path / "other")
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(ConfigError, match=r"name a file|give it 1048576 or more"):
        BoundedFile(path, 10 if kind == "too small" else LEAST_BYTES)


def test_a_line_is_lost_if_no_file_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M12: not even a new part, for want of descriptors; the next line finds one again."""
    file = BoundedFile(tmp_path / "report", LEAST_BYTES)
    line = b"x" * (LEAST_BYTES // FILES - 1) + b"\n"
    assert file.write(line)
    with monkeypatch.context() as patched:

        def no_descriptor(*args: object) -> int:
            raise OSError(24, "Too many open files")

        patched.setattr(os, "open", no_descriptor)
        assert not file.write(line)
    assert (file.lost, file.write(line)) == (1, True)
    file.close()
