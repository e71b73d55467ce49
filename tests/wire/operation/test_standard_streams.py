"""Servers without standard streams: daemons, programs without a console, loggers in their place."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hosts import ROOT, free_port
from tests.support.raw import Client
from tests.support.waiting import eventually

SOURCE = """
async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("none")
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"here"})
def wsgi(environ, start_response):
    environ["wsgi.errors"].write("a word\\n")
    environ["wsgi.errors"].flush()
    start_response("200 OK", [])
    return [b"here"]
"""

#: What a program may have in the place of its streams.
STREAMS = {
    "None": "sys.stderr = sys.stdout = None",
    "closed": "sys.stderr.close(); sys.stdout.close()",
    "plain": """
class Tee:
    def __init__(self, stream): self.stream = stream
    def write(self, text): return self.stream.write(text)
    def flush(self): self.stream.flush()
sys.stdout, sys.stderr = Tee(sys.stdout), Tee(sys.stderr)
""",
}


def answers(port: int) -> bool:
    try:
        with Client(socket.create_connection(("127.0.0.1", port), timeout=10)) as client:
            return client.get("/").body == b"here" and client.get("/").status == 200
    except OSError:
        return False


def serves(folder: Path, argv: list[str], port: int, shell: str = '"$@"') -> int:
    """Run `argv` until it has answered; its exit code."""
    (folder / "streams.py").write_text(SOURCE)
    path = os.pathsep.join([str(ROOT), str(folder), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {shell}", "sh", *argv],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: process.poll() is not None or answers(port), timeout=30)
        process.send_signal(signal.SIGTERM)
        return process.wait(15)
    finally:
        process.kill()


#: But for a WSGI app that itself writes to a stream that is closed, which is an error anywhere.
CASES = [(name, kind) for name in STREAMS for kind in ("asgi", "wsgi")]
CASES.remove(("closed", "wsgi"))


@pytest.mark.parametrize(("streams", "kind"), CASES)
def test_streams_of_a_program(tmp_path: Path, streams: str, kind: str) -> None:
    """S51 S50: without standard streams, or with others in their place, the server starts."""
    port = free_port()
    serve = f"import bridge, streams\nbridge.serve(streams.{kind}, port={port})"
    code = f"import sys\n{STREAMS[streams]}\n{serve}"
    assert serves(tmp_path, [sys.executable, "-c", code], port) == 0


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_descriptors(tmp_path: Path, closed: str, kind: str) -> None:
    """S51 S50: a shell or a supervisor may close them; no connection gets their numbers."""
    port = free_port()
    argv = [sys.executable, "-m", "bridge", "serve", f"streams:{kind}", f"--port={port}"]
    assert serves(tmp_path, argv, port, f'"$@" {closed}') == 0


def test_exit_code_without_standard_error(tmp_path: Path) -> None:
    """S51: nor does it change how a server ends that cannot start."""
    argv = [sys.executable, "-m", "bridge", "serve", "no_such_module:app"]
    assert serves(tmp_path, argv, free_port(), '"$@" 2>&-') == 3
