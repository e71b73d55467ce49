"""Hooks of real processes: when each is called, and in which process (P11)."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import httpx

from tests.conftest import StartHost
from tests.support import hosts

HOOKS = """
import os
def note(what):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{what} {os.getpid()}\\n")
def on_start(config):
    note(f"start {config.workers}")
def post_fork(config):
    note("fork")
def worker_exit(config):
    note("exit")
    raise OSError("no place to say goodbye")
"""
APP = """
import hooks
hooks.note("import")
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for word in ("startup", "shutdown"):
            await receive()
            hooks.note(word)
            await send({"type": f"lifespan.{word}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"shop"})
"""


def test_hooks_of_a_server(start_host: StartHost, tmp_path: Path) -> None:
    """P11: once before the first fork, and in each worker before the app and after it; O8: one
    that raises is a line in the log, and the server ends as it should."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    (tmp_path / "shop.py").write_text(APP)
    names = ("on_start", "post_fork", "worker_exit")
    options = [f"--{name.replace('_', '-')}=hooks:{name}" for name in names]
    command = hosts.bridge("shop:app", "-w", "2", "--app-dir", str(tmp_path), *options)
    host = start_host(command.with_env(NOTES=str(tmp_path / "notes")))
    assert httpx.get(host.url("/")).text == "shop"
    host.process.send_signal(signal.SIGTERM)
    assert host.process.wait(timeout=30) == 0

    notes: dict[int, list[str]] = {}
    for line in (tmp_path / "notes").read_text().splitlines():
        what, _, pid = line.rpartition(" ")
        notes.setdefault(int(pid), []).append(what)
    assert notes.pop(host.process.pid) == ["start 2"]
    life = ["fork", "import", "startup", "shutdown", "exit"]
    assert len(notes) in (1, 2)  # the second may be told to stop before it has begun
    assert life in notes.values()
    said = "the hook worker_exit raised OSError: no place to say goodbye ("
    assert said in host.log()
    assert f"{tmp_path}{os.sep}hooks.py, line 12); the server goes on" in host.log()
