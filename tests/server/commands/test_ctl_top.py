"""`ctl top` on a terminal of its own, and the figures of its frames."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge.server.commands import ctl_top as module
from bridge.server.commands.ctl_top import Top
from tests.support.hosts import ROOT
from tests.support.orders import Running, taking_orders


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with taking_orders(tmp_path / "a.ctl") as server:
        yield server


class Terminal:
    """The end of a terminal at which a person sits."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self.descriptor = descriptor
        self.process = process
        self.shown = b""

    def read_until(self, holds: Callable[[bytes], object]) -> None:
        """Read what is shown until `holds(shown)`, or the program has ended."""
        while not holds(self.shown):
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:  # Linux says so that the other end is closed
                data = b""
            assert data, self.shown
            self.shown += data

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)


@contextmanager
def top(server: Running, **streams: Any) -> Iterator[Terminal]:
    """`ctl top` on a terminal; `streams`: what is another file."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "bridge", "ctl", "top", "--socket", server.path]
    about = {"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE, **streams}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **about)
    os.close(theirs)
    try:
        yield Terminal(ours, process)
        assert process.stderr is not None
    finally:
        process.kill()
        process.communicate()
        os.close(ours)


def test_it_draws_again_until_q(running: Running) -> None:
    """O3: frames on a screen of their own, which is left at the end; other keys do nothing."""
    with top(running) as terminal:
        terminal.read_until(lambda shown: shown.count(b"\x1b[H") >= 1)
        terminal.type(b"x")
        terminal.read_until(lambda shown: shown.count(b"\x1b[H") >= 3)
        terminal.type(b"q")
        assert terminal.process.wait(20) == 0
        terminal.read_until(lambda shown: shown.endswith(b"\x1b[?25h\x1b[?1049l"))
    assert terminal.shown.startswith(b"\x1b[?1049h\x1b[?25l")
    assert b"shop:app (serving)" in terminal.shown
    assert b"q: quit" in terminal.shown


def test_ctrl_c_ends_it(running: Running) -> None:
    """O3: as in any such program; the terminal is as it was."""
    with top(running) as terminal:
        terminal.read_until(lambda shown: b"q: quit" in shown)
        terminal.process.send_signal(signal.SIGINT)
        terminal.read_until(lambda shown: shown.endswith(b"\x1b[?1049l"))
        assert terminal.process.wait(20) == 0


def test_without_a_keyboard_it_draws_all_the_same(running: Running) -> None:
    """O3: `watch`-like use, with /dev/null as standard input; CTRL+C ends it."""
    with top(running, stdin=subprocess.DEVNULL) as terminal:
        terminal.read_until(lambda shown: shown.count(b"\x1b[H") >= 2)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.process.wait(20) == 0


def test_a_server_that_goes_away_ends_it(tmp_path: Path) -> None:
    """O8: the screen is left first, so that the line which says so can be read."""
    with taking_orders(tmp_path / "a.ctl") as server:
        context = top(server)
        terminal = context.__enter__()
        terminal.read_until(lambda shown: b"q: quit" in shown)
    try:
        terminal.read_until(lambda shown: shown.endswith(b"\x1b[?1049l"))
        assert terminal.process.wait(20) == 4
        assert terminal.process.stderr is not None
        assert b"there is no such socket" in terminal.process.stderr.read()
    finally:
        context.__exit__(None, None, None)


def test_into_a_pipe_it_prints_one_frame(running: Running) -> None:
    """O3: as with `--once` on a terminal; without any sequence that only a terminal knows."""
    with top(running, stdout=subprocess.PIPE) as terminal:
        said, _ = terminal.process.communicate(timeout=20)
    assert said.startswith(b"shop:app (serving)  up ")
    assert b"\x1b" not in said


def test_rates_are_those_between_two_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """O3: requests a second and the share of a CPU; a worker that has just come has none."""
    now = iter([100.0, 102.0])
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(module.time, "sleep", lambda _: None)

    def worker(pid: int, served: int, cpu: float | None) -> dict[str, Any]:
        return {"pid": pid, "served": served, "cpu": cpu}

    samples = iter(
        [
            {"workers": [worker(1, 100, 1.0), worker(2, 7, None)]},
            {"workers": [worker(1, 400, 2.5), worker(2, 7, None), worker(3, 9, 0.1)]},
        ]
    )
    workers = Top(lambda: next(samples)).figures()["workers"]
    assert [(each["rate"], each["cpu_share"]) for each in workers] == [
        (150.0, 75.0),
        (0.0, None),
        (None, None),
    ]
