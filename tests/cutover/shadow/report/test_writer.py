"""Lines written by a thread of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from bridge.cutover.shadow.report.file import BoundedFile
from bridge.cutover.shadow.report.writer import LineWriter
from tests.support.hosts import ROOT
from tests.support.waiting import eventually


class Held(BoundedFile):
    """A file that takes nothing until it may."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.may = threading.Event()

    def write(self, line: bytes) -> bool:
        """Write when that is allowed."""
        self.may.wait(20)
        return super().write(line)


def test_lines_are_written_in_order_by_a_thread(tmp_path: Path) -> None:
    """M12: lines are written soon, in order; `close` waits for them, and more may come later."""
    path = tmp_path / "file"
    writer = LineWriter(BoundedFile(path))
    assert all(writer.put(b"%d\n" % number) for number in range(100))
    writer.close()
    assert path.read_bytes() == b"".join(b"%d\n" % number for number in range(100))
    writer.put(b"more\n")
    eventually(lambda: path.read_bytes().endswith(b"more\n"))
    writer.close()
    writer.close()


def test_a_file_that_takes_nothing_delays_nobody(tmp_path: Path) -> None:
    """M12: if the disk hangs, lines wait up to a number, more are dropped, and nobody waits."""
    file = Held(tmp_path / "file")
    writer = LineWriter(file, 3)
    taken = [writer.put(b"line\n") for _ in range(10)]
    assert taken.count(False) == writer.dropped >= 6
    writer.close(0.01)  # there is not even room to say that it is the end
    file.may.set()
    eventually(lambda: (tmp_path / "file").read_bytes() == b"line\n" * (10 - writer.dropped))
    writer.close()


PROGRAM = """
import os, sys
from bridge.cutover.shadow.report.file import BoundedFile
from bridge.cutover.shadow.report.writer import LineWriter
writer = LineWriter(BoundedFile(sys.argv[1]))
writer.put(b"parent\\n")
child = os.fork()
writer.put(b"child\\n" if child == 0 else b"parent\\n")
if child:
    assert os.waitpid(child, 0)[1] == 0
"""


def test_forked_processes_write_and_finish_at_their_end(tmp_path: Path) -> None:
    """M12: a fork has a thread of its own; at the end of a process what waits is written."""
    path = tmp_path / "file"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=60,
    )
    assert sorted(path.read_bytes().split()) == [b"child", b"parent", b"parent"]
