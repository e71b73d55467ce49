"""Lines of several processes in one pipe or file: none is torn, however long it is (P5)."""

from __future__ import annotations

import contextlib
import fcntl
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from bridge.server.logs.whole_lines import WholeLines, WholeLinesFile, write_whole
from tests.support.hosts import ENV, ROOT
from tests.support.raw import Client, request

#: Four processes write lines of their own letter: short ones, and such as no pipe takes at once.
WRITERS = """
import logging, os, sys
from bridge.server.logs.whole_lines import WholeLines
for letter in "abcd":
    if not os.fork():
        handler = WholeLines(sys.stdout)
        for number in range(100):
            size = (10, 300, 5000, 70_000)[number % 4]
            handler.handle(logging.makeLogRecord({"msg": f"<{letter * size}>"}))
        os._exit(0)
for _ in range(4):
    os.wait()
"""


def command(**more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITERS], cwd=ROOT, **more)


def check(lines: list[bytes]) -> None:
    assert len(lines) == 400
    for line in lines:
        assert line[:1] + line[-1:] == b"<>", line[:100]
        assert len(set(line[1:-1])) == 1, "a line in a line"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_lines_in_a_pipe_are_whole(unbuffered: str) -> None:
    """P5: also if who reads them is slow, so that the pipe is full."""
    environ = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with command(stdout=subprocess.PIPE, bufsize=0, env=environ) as process:
        assert process.stdout is not None
        read = bytearray()
        while data := process.stdout.read(1500):
            read += data
    check(read.splitlines())


@pytest.mark.parametrize("mode", ["wb", "ab"])
def test_lines_in_a_file_are_whole(tmp_path: Path, mode: str) -> None:
    """P5: as the shell opens it for ``>`` and for ``>>``."""
    with (tmp_path / "log").open(mode) as file, command(stdout=file) as process:
        assert process.wait(60) == 0
    check((tmp_path / "log").read_bytes().splitlines())


def test_lines_in_a_socket_are_whole() -> None:
    """P5: the journal of systemd is one."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = command(stdout=theirs)
        read = bytearray()
        while data := ours.recv(1500):
            read += data
        assert process.wait(60) == 0
    check(read.splitlines())


def test_access_lines_of_four_workers_are_whole(tmp_path: Path) -> None:
    """P5: `asgi-bridge serve | cat`, with targets that are long."""
    (tmp_path / "app.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('204 No Content', [])\n"
        "    return []\n"
    )
    sock = socket.create_server(("127.0.0.1", 0))
    arguments = ["serve", "app:app", "--app-dir", str(tmp_path), "--workers=4"]
    process = subprocess.Popen(
        [sys.executable, "-m", "bridge", *arguments, f"--bind=fd://{sock.fileno()}"],
        cwd=ROOT,
        env={**os.environ, **ENV},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[sock.fileno()],
    )
    port = sock.getsockname()[1]
    sock.close()

    def ask(letter: str) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            client = Client(connection)
            for number in range(60):
                connection.sendall(request("/" + letter * (number * 100 + 1)))
                assert client.response().status == 204

    read = bytearray()

    def collect() -> None:
        assert process.stdout is not None
        while data := process.stdout.read1(1500):  # type: ignore[attr-defined]
            read.extend(data)

    collector = threading.Thread(target=collect)
    collector.start()
    askers = [threading.Thread(target=ask, args=[letter]) for letter in "abcdefgh"]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    collector.join()
    process.stdout.close()  # type: ignore[union-attr]
    lines = read.splitlines()
    assert len(lines) == 480
    for line in lines:
        assert line.count(b'"GET /') == 1, line
        assert len(set(line.partition(b"GET /")[2].partition(b" ")[0])) == 1, line
        assert b" 204 " in line


# ------------------------------------------------------------- nobody reads

#: Holds the lock of the pipe that is its standard output, until its standard input ends.
HOLDER = """
import fcntl, sys
fcntl.lockf(1, fcntl.LOCK_EX)
print("held", file=sys.stderr, flush=True)
sys.stdin.read()
"""


def say(handler: WholeLines, text: str) -> None:
    handler.handle(logging.makeLogRecord({"msg": text}))


def test_lines_that_nobody_reads_hold_nobody_up() -> None:
    """P1: in the supervisor they are lost, and told when somebody reads again."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        handler = WholeLines(stream)
        handler.lose_what_waits()
        say(handler, "x" * 2**20)  # as much as the pipe takes
        say(handler, "lost")
        os.set_blocking(reader, False)
        while lines.buffer.read():
            pass
        os.set_blocking(reader, True)
        say(handler, "read")
        assert lines.readline() == "(2 lines lost: nobody took what was written)\n"
        assert lines.readline() == "read\n"
        say(handler, "read, too")
        assert lines.readline() == "read, too\n"


def test_a_writer_that_is_stuck_holds_nobody_up() -> None:
    """P1: a worker that was stopped within a line, say."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        handler = WholeLines(stream)
        handler.lose_what_waits()
        with subprocess.Popen(
            [sys.executable, "-c", HOLDER],
            stdin=subprocess.PIPE,
            stdout=stream,
            stderr=subprocess.PIPE,
        ) as holder:
            assert holder.stderr is not None
            assert holder.stderr.readline() == b"held\n"
            say(handler, "lost")
        say(handler, "read")
        assert lines.readline() == "(1 line lost: nobody took what was written)\n"
        assert lines.readline() == "read\n"


def test_a_log_that_nobody_reads_does_not_stop_a_supervisor() -> None:
    """P1: it takes orders all the same, and ends what hangs."""
    reader, writer = os.pipe()
    argv = [sys.executable, "-m", "bridge", "serve", "tests.support.apps.hello:asgi"]
    limits = ["--timeout-graceful-shutdown=1", "--timeout-shutdown=1"]  # workers hang in a line
    process = subprocess.Popen(
        [*argv, "--workers=2", "--port=0", *limits],
        cwd=ROOT,
        env={**os.environ, **ENV},
        stderr=writer,
    )
    try:
        with os.fdopen(reader, "rb") as lines:
            while b"serves (2 of 2)" not in lines.readline():
                pass
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while os.write(writer, b"x" * 512):
                    pass
            os.set_blocking(writer, True)
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(writer)


# ------------------------------------------------------------- streams of other kinds


class Noting:
    """A stream of a program's own."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def write(self, text: str) -> None:
        self.said.append(text)

    def flush(self) -> None:
        self.said.append("flushed")


def test_a_stream_of_the_programs_own_is_called() -> None:
    """S50: it may do more with a text than to write it."""
    stream = Noting()
    write_whole(stream, "a line\n")
    assert stream.said == ["a line\n", "flushed"]
    inner = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    write_whole(inner, "a line\n")
    assert inner.buffer.getvalue() == b"a line\n"  # type: ignore[attr-defined]


def test_what_the_stream_holds_back_comes_first(tmp_path: Path) -> None:
    """S50: what the app has printed before, without the end of a line, say."""
    with (tmp_path / "log").open("w", encoding="latin-1", errors="replace") as stream:
        stream.write("before, ")
        write_whole(stream, "ö and \u2713\n")
        stream.write("after")
    assert (tmp_path / "log").read_bytes() == b"before, \xf6 and ?\nafter"


@pytest.mark.parametrize("limit", [None, 60])
def test_what_cannot_be_locked_is_written_to(
    monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    """S50: not every system has locks for everything."""

    def refuse(descriptor: int, command: int) -> None:
        raise OSError(22, "Invalid argument")

    reader, writer = os.pipe()
    monkeypatch.setattr(fcntl, "lockf", refuse)
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        write_whole(stream, "a line\n", limit)
        assert lines.readline() == "a line\n"


def test_records_that_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """S50: who logs does not fail; the error is reported as `logging` reports it."""
    handler = WholeLinesFile(tmp_path / "log")
    handler.handle(logging.makeLogRecord({"msg": "a line"}))
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("no number",)}))
    handler.close()
    assert (tmp_path / "log").read_text() == "a line\n"
    assert "no number" in capfd.readouterr().err
    assert isinstance(handler, WholeLines)
