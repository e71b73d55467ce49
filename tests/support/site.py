"""A server in a process of its own, which may never come to serving, and the source of its app."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.hosts import ROOT, free_port
from tests.support.raw import Client, request
from tests.support.waiting import eventually

#: Blocks in C code, which sees to no signal: a mutex is locked twice.
STUCK = """
import ctypes
def stuck():
    mutex = ctypes.create_string_buffer(128)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)
"""
#: An app that answers at once; `{work}` comes before that.
APP = """
import asyncio, os, signal, sys, time
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        {start}
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        await send({{"type": "lifespan.shutdown.complete"}})
        return
    print("asked", flush=True)
    {work}
    await send({{"type": "http.response.start", "status": 200}})
    await send({{"type": "http.response.body", "body": b"done"}})
"""


def app_source(work: str = "pass", start: str = "pass") -> str:
    return APP.format(work=work, start=start)


class Process:
    """A server of ours, which may never come to serving: its process, and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, port: int) -> None:
        self.process, self._log, self.port = process, log, port

    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, said: str) -> None:
        eventually(lambda: said in self.log(), timeout=30)

    def send_signals(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.process.send_signal(number)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self) -> Client:
        """A request, which the app has begun to answer."""
        self.wait_for("running on")
        client = Client(self.connect())
        client.send(request("/"))
        self.wait_for("asked")
        return client


@contextmanager
def running(folder: Path, source: str, *options: str, code: str = "") -> Iterator[Process]:
    """`source` as module ``site_app`` served from the shell; or `code`, run by itself."""
    (folder / "site_app.py").write_text(source)
    port = free_port()
    serve = ("-m", "bridge", "serve", "site_app:app", f"--port={port}", "--no-access-log", *options)
    argv = [sys.executable, *(("-c", code.replace("PORT", str(port))) if code else serve)]
    log = folder / "log"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Process(process, log, port)
    finally:
        process.kill()
        process.wait()


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal has not reached the process yet (Linux); a second one would be lost."""
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file)
    masks = int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)
    return bool(masks >> (number - 1) & 1)
