"""Somebody who follows a page of the documentation: saves its files, types its commands.

`steps` reads a page; a `Reader` follows them in a folder, and compares what each command prints
with what the page shows::

    with ExitStack() as stack:
        reader = Reader(folder, stack)
        for step in steps(page):
            reader.follow(step)
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import httpx
from click.testing import CliRunner

from bridge.server.cli import main
from tests.support.hosts import ROOT, Command, Host, start
from tests.support.waiting import eventually

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
_NAME = re.compile(r"`([\w./]+\.(?:py|toml))`")
_SERVER = re.compile(r"asgi-bridge (serve|cutover record) ")
#: What is asked of a running server, without importing an app.
_ORDER = re.compile(r"asgi-bridge (cutover (set|status|report)|ctl) ")
#: What is done before a test begins.
_READY = re.compile(r"mkdir |cd |python3 -m venv |\. venv/|(python -m )?pip install ")
_ENVIRON = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "BRIDGE_CONTROL_SOCKET": "ctl",
    "no_proxy": "127.0.0.1",
}


@dataclass(frozen=True)
class File:
    """A block to be saved under a name, or a function that is changed in the file."""

    name: str
    text: str
    function: str = ""


@dataclass(frozen=True)
class Typed:
    """A command, and what the page shows of what it prints."""

    command: str
    shown: str


def steps(page: str) -> Iterator[File | Typed]:
    """What a page says to do, in its order; each of its blocks is one of these, or several.

    The paragraph before a file ends with its name; the last name counts. If it says "the function
    `NAME`", the block is that function.
    """
    blocks = [*_BLOCK.finditer(page)]
    assert page.count("```") == 2 * len(blocks), "a block that nobody tries"
    for block in blocks:
        kind, text = block.groups()
        if kind == "console":
            for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
                command, _, shown = step.rstrip("\n").partition("\n")
                yield Typed(command, shown)
        else:
            before = page[: block.start()].rstrip().rpartition("\n\n")[2]
            function = re.search(r"the function `(\w+)`", before)
            yield File(_NAME.findall(before)[-1], text, function[1] if function else "")


def alike(text: str, printed: str) -> bool:
    """Whether `printed` is what the page shows; ``...`` there is anything, blanks do not count."""
    pattern = re.sub(r"\\\.\\\.\\\.", ".*", re.escape(_plain(text)))
    return re.fullmatch(pattern, _plain(printed), re.S) is not None


def _plain(text: str) -> str:
    """A text without what differs each time: times, ports, processes, and what is by chance."""
    text = re.sub(r"(?m)^\S+ \S+ \+0000 \[\d+\] ", "", text)
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1", text)
    text = re.sub(r"bridge-check-[0-9a-f]{12}", "bridge-check", text)
    text = re.sub(r"\d\d:\d\d:\d\d", "12:00:00", text)
    text = re.sub(r"\b\d+(\.\d+)? m?s\b", "N s", text)
    text = re.sub(r"\bnew \d+, old \d+", "new N, old N", text)
    return " ".join(text.split())


class Reader:
    """Somebody who follows a page; has one server at a time.

    `faster` takes the sleeps out of the files of a lesson, so that a test has not to wait for them.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, faster: bool = False) -> None:
        self.folder = folder
        self.stack = stack
        self.faster = faster
        self.host: Host | None = None
        self.code = 0
        self.jar = httpx.Cookies()

    def follow(self, step: File | Typed) -> None:
        """Do what a step says, and compare what it prints."""
        if isinstance(step, File):
            self.save(step)
        elif _SERVER.match(step.command):
            self.serve(step)
        elif "cutover report" in step.command:  # the copies come afterwards
            words = shlex.split(step.command)[1:]
            eventually(lambda: alike(step.shown, CliRunner().invoke(main, words).stdout))
        elif not _READY.match(step.command):
            printed = self.type(step)
            assert not step.shown or alike(step.shown, printed), (step, printed)

    def save(self, file: File) -> None:
        """Write a file, or a function of it."""
        path = self.folder / file.name
        text = file.text
        if file.function:
            lines = path.read_text().splitlines(keepends=True)
            (node,) = (
                each
                for each in ast.parse("".join(lines)).body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
                and each.name == file.function
            )
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            lines[first - 1 : node.end_lineno] = [text]
            text = "".join(lines)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("sleep(1)", "sleep(0.02)") if self.faster else text)

    def type(self, step: Typed) -> str:
        """What a command prints that ends by itself."""
        command = step.command
        if command == "echo $?":
            return str(self.code)
        if command.startswith("curl "):
            return self.curl(command, len(step.shown.splitlines()))
        if _ORDER.match(f"{command} "):
            return self.order(command)
        if "replay" in command:
            self.stop()
        if self.host is not None:
            command = command.replace("127.0.0.1:8000", f"127.0.0.1:{self.host.port}")
        ended = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env={**os.environ, **_ENVIRON},
            capture_output=True,
            text=True,
            timeout=90,
        )
        self.code = ended.returncode
        assert self.code == 0, (command, ended.stdout, ended.stderr)
        return ended.stdout

    def order(self, command: str) -> str:
        """Give an order to the server."""
        done = CliRunner().invoke(main, shlex.split(command)[1:])
        assert done.exit_code == 0, (command, done.output)
        return done.stdout

    def serve(self, step: Typed) -> None:
        """Stop the server before, start another; the log has each line that the page shows."""
        self.stop()
        words = (sys.executable, "-m", "bridge", *shlex.split(step.command)[1:], "--port={port}")
        command = Command("bridge", words, _ENVIRON, self.folder)
        self.host = host = self.stack.enter_context(start(command))
        if "--workers" in words or "--cutover" in words:  # a supervisor has begun to listen
            eventually(lambda: re.search(r"serves \((\d+) of \1\)", host.log()))
        for line in step.shown.splitlines():
            eventually(lambda line=line: _plain(line) in _plain(host.log()))  # type: ignore[misc]

    def stop(self) -> None:
        """Ctrl+C."""
        if self.host is not None and self.host.process.poll() is None:
            self.host.stop()

    def curl(self, command: str, lines: int) -> str:
        """Ask as curl would; `lines` is how much of a stream somebody waits for."""
        words = shlex.split(command)
        options = dict(pairwise(words))
        assert self.host is not None
        url = self.host.url(words[-1].partition(":8000")[2])
        headers = {"Cookie": options["--cookie"]} if "--cookie" in options else {}
        with httpx.Client(trust_env=False, headers=headers, timeout=30) as client:
            client.cookies = self.jar if "-b" in options else httpx.Cookies()
            if "-N" in options:
                with client.stream("GET", url) as stream:
                    found = stream.iter_lines()
                    return "\n".join(next(found) for _ in range(lines))
            if "-d" in options:
                answer = client.post(url, data=dict([options["-d"].split("=")]))
            else:
                answer = client.get(url)
            if "-c" in options:
                self.jar = client.cookies
        head = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\n"
        head += "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        headed = "-i" in options or "-D" in options
        return f"{head}\n{answer.text}" if headed else answer.text
