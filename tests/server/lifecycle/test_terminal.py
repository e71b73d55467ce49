"""The terminal of a server: it ends with it, unless it was started with nohup (P2)."""

from __future__ import annotations

import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from tests.support.hosts import ROOT
from tests.support.site import app_source
from tests.support.waiting import eventually


@pytest.mark.parametrize("nohup", [False, True])
def test_terminal_is_closed(tmp_path: Path, nohup: bool) -> None:
    """P2: a server ends with its terminal, unless it was started with nohup."""
    (tmp_path / "site_app.py").write_text(app_source())
    log = tmp_path / "log"
    child, terminal = pty.fork()
    if not child:
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(ROOT)
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        argv = [sys.executable, "-m", "bridge", "serve", "site_app:app", "--port=0"]
        os.execv(sys.executable, argv)
    try:
        eventually(lambda: log.exists() and "running on" in log.read_text(), timeout=30)
        os.close(terminal)
        if nohup:
            eventually(lambda: "SIGHUP" in log.read_text())
            os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert ("the terminal was closed" in log.read_text()) != nohup
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
