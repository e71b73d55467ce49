"""A page of the documentation, followed as a reader would: its files saved, its commands typed.

A block that begins with the name of a file in a comment (``# shop.py``) is saved, over what stood
there before; the commands of ``console`` blocks (``$ ...``) are typed, all in the order of the
page. A command of `SERVERS` starts a server, which ends the one before; ``curl`` asks it, and must
get what the page shows, in which ``...`` stands for anything. Any other command must end well, and
print what the page shows. What installs is left out: tests run with everything installed.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.hosts import ENV, ROOT, Command, Host, HostError, start

#: The commands that serve, and how each is told its port if the page names none.
SERVERS = {
    "asgi-bridge serve": ("--port={port}",),
    "uvicorn": ("--port={port}",),
    "gunicorn": ("--bind=127.0.0.1:{port}",),
    "hypercorn": ("--bind=127.0.0.1:{port}",),
    "granian": ("--port={port}",),
    "daphne": ("--port={port}",),
    "uwsgi": ("--http-socket=127.0.0.1:{port}",),
    "python": (),
}
#: The modules of programs whose names differ from theirs.
_MODULES = {"asgi-bridge": "bridge"}
#: A file that is saved again in the same second is read again.
_FRESH = {"PYTHONDONTWRITEBYTECODE": "1"}
#: Runs a program that names its port itself.
_PROGRAM = (
    "import sys; sys.path.insert(0, ''); "
    "exec(compile(open({name!r}).read().replace('8000', '{{port}}'), {name!r}, 'exec'))"
)
_BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.M | re.S)
_FILE = re.compile(r"(?:#|;|//) ([\w./-]+\.\w+)\n")


@dataclass(frozen=True)
class Answer:
    """What a server of the page has answered: the how manyth server it was, and what was asked."""

    server: int
    program: str
    asked: str
    text: str


def blocks(page: Path) -> list[tuple[str, str]]:
    """Every block of code of a page: its language, and its text."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def table(page: Path, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading: the cells of each, without the head."""
    text = page.read_text(encoding="utf-8")
    below = re.split(rf"^#+ {re.escape(heading)}$", text, maxsplit=1, flags=re.M)[1]
    (lines,) = re.findall(r"^\|.*\n\| ?[-:].*\n((?:\|.*\n)+)", below, re.M)[:1]
    rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines.splitlines())
    return [[cell.strip() for cell in row] for row in rows]


def shown(text: str, printed: str) -> bool:
    """Whether `printed` is what a page shows; ``...`` there is anything, blanks do not count."""
    words = re.escape(" ".join(text.split()))
    pattern = re.sub(r"\\\.\\\.\\\.", ".*", words)
    return re.fullmatch(pattern, " ".join(printed.split()), re.S) is not None


def server_of(line: str) -> str | None:
    """The command of `SERVERS` that a line is; None if it is none."""
    bare = re.sub(r"^(\w+=\S+ )+", "", f"{line} ")
    return next((name for name in SERVERS if bare.startswith(f"{name} ")), None)


def follow(page: Path, folder: Path) -> list[Answer]:
    """Do in `folder` all that a page says; what its servers have answered."""
    with ExitStack() as stack:
        reader = Reader(folder, stack)
        for language, text in blocks(page):
            if language == "console":
                for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
                    command, _, expected = step.rstrip("\n").partition("\n")
                    reader.type(command, expected)
            else:
                reader.save(text)
        return reader.answers


class Reader:
    """Somebody who follows a page; has one server at a time."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.host: Host | None = None
        self.answers: list[Answer] = []
        self._program = ""
        self._servers = 0

    def save(self, text: str) -> None:
        """Save a block as the file whose name it begins with."""
        name = _FILE.match(text)
        assert name, f"a block does not say which file it is:\n{text}"
        path = self.folder / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def type(self, line: str, expected: str) -> None:
        """Type a command, and compare what it prints with what the page shows."""
        program = server_of(line)
        if "pip install" in line:
            return
        if line.startswith("curl "):
            printed = self.ask(line)
        elif program is None:
            printed = self.run(line)
        else:
            self.serve(program, line)
            return
        assert not expected or shown(expected, printed), (line, printed)

    def serve(self, program: str, line: str) -> None:
        """Start a server instead of the one before."""
        self.stop()
        variables, (name, *rest) = _words(line)
        if name == "python":
            argv = [sys.executable, "-c", _PROGRAM.format(name=rest[0]), *rest[1:]]
        else:
            argv = [*_program(name), *rest]
            port = () if any("8000" in word for word in rest) else SERVERS[program]
            argv = [*(word.replace("8000", "{port}") for word in argv), *port]
        short = "bridge" if name == "asgi-bridge" else name
        command = Command(short, tuple(argv), {**_FRESH, **variables}, self.folder)
        self.host = self.stack.enter_context(start(command))
        self._program, self._servers = program, self._servers + 1

    def stop(self) -> None:
        """End the server that runs, if there is one. That ours hangs at its end is a failure."""
        if self.host is None or self.host.process.poll() is not None:
            return
        try:
            self.host.stop()
        except HostError:
            if self.host.name == "bridge":
                raise

    def ask(self, line: str) -> str:
        """Ask the server as curl would; what it prints."""
        assert self.host is not None, f"{line}: no server runs"
        options, url = _curl(shlex.split(line)[1:])
        fields = dict(field.split(": ", 1) for field in options.get("-H", []))
        body = "".join(options.get("-d", []))
        if body:
            fields.setdefault("Content-Type", "application/x-www-form-urlencoded")
        answer = httpx.request(
            options.get("-X", ["POST" if body else "GET"])[0],
            self.host.url(re.sub(r"^(https?://)?[^/]+", "", url)),
            headers=fields,
            content=body or None,
            trust_env=False,
            timeout=30,
        )
        self.answers.append(Answer(self._servers, self._program, line, answer.text))
        head = f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\n"
        head += "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        return f"{head}\n{answer.text}" if "-i" in options else answer.text

    def run(self, line: str) -> str:
        """What a command prints that ends by itself."""
        line = re.sub(r"^asgi-bridge ", f"{shlex.quote(sys.executable)} -m bridge ", line)
        ended = subprocess.run(
            line,
            shell=True,
            cwd=self.folder,
            env={**os.environ, **ENV, **_FRESH, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, (line, ended.stdout, ended.stderr)
        return ended.stdout


def _program(name: str) -> list[str]:
    """How a program is started, on this Python."""
    if name == "uwsgi":  # no module; it must be told where it is
        return [str(Path(sys.executable).with_name(name)), f"--virtualenv={sys.prefix}"]
    return [sys.executable, "-m", _MODULES.get(name, name)]


def _words(line: str) -> tuple[dict[str, str], list[str]]:
    """The variables before a command, and its words."""
    words = shlex.split(line)
    variables: dict[str, str] = {}
    while "=" in words[0]:
        name, _, variables[name] = words.pop(0).partition("=")
    return variables, words


def _curl(words: list[str]) -> tuple[dict[str, list[str]], str]:
    """The options of a command line of curl, each with its values, and the URL."""
    options: dict[str, list[str]] = {}
    url = ""
    while words:
        word = words.pop(0)
        if word in ("-H", "-d", "-X"):
            options.setdefault(word, []).append(words.pop(0))
        elif word.startswith("-"):
            options[word] = []
        else:
            url = word
    return options, url
