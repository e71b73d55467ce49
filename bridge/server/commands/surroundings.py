"""The options that are no settings: working directory, environment and import path (O5).

Their names are those of uvicorn and Gunicorn. They come into force before the settings are read, so
a variable that they set may be a setting.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

import click

from bridge.errors import ConfigError
from bridge.server.commands.help.completion import directories, files

#: For every command.
OPTIONS: Final = (
    click.Option(
        ["--chdir"],
        metavar="PATH",
        shell_complete=directories,
        help="Change to this directory first; a reload enters it anew, also if it is a link.",
    ),
    click.Option(
        ["-e", "--env"],
        metavar="NAME=VALUE",
        multiple=True,
        help="Set a variable of the environment. Repeatable.",
    ),
    click.Option(
        ["--env-file"],
        metavar="FILE",
        shell_complete=files,
        help="Set the variables of a file of lines NAME=VALUE, unless they are set already.",
    ),
    click.Option(
        ["--pythonpath"],
        metavar="PATH",
        shell_complete=directories,
        help="Directories to put first on the import path, with commas between them.",
    ),
)
#: For commands that have sockets.
BINDING: Final = (
    click.Option(["--uds"], metavar="PATH", shell_complete=files, help="As --bind unix:PATH."),
    click.Option(["--fd"], metavar="N", help="As --bind fd://N."),
)

#: What an environment file has set: when it is read again, it may set that anew.
_from_file: dict[str, str] = {}

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*
    (?:'(?P<single>[^']*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<plain>[^'"\s#][^\n]*?)?)
    \s*(?:(?<!\S)\#.*)?""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_REFERENCE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_.]*)(?::-(?P<default>[^}]*))?\}")


def anchor(options: dict[str, Any]) -> None:
    """Make the paths that --chdir would move absolute; call it once, before that."""
    if options.get("chdir"):
        for name in ("chdir", "config", "env_file"):
            if options.get(name):
                options[name] = os.path.abspath(options[name])


def enter(options: dict[str, Any]) -> None:
    """Take these options out of `options`, and do what they say. Raises `ConfigError`."""
    directory, file = options.pop("chdir"), options.pop("env_file")
    assignments, paths = options.pop("env"), options.pop("pythonpath")
    if directory:
        try:
            os.chdir(directory)
        except OSError as error:
            raise ConfigError(
                f"--chdir is {directory!r}, which cannot be entered: {error.strerror}; name a "
                "directory"
            ) from error
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name or "\0" in assignment:
            raise ConfigError(f"--env is {assignment!r}; allowed is NAME=VALUE")
        os.environ[name] = value
    if file:
        load_env_file(file, os.environ)
    for path in (paths or "").split(","):
        if path.strip() and os.path.abspath(path.strip()) not in sys.path:
            sys.path.insert(0, os.path.abspath(path.strip()))


def take_binds(options: dict[str, Any]) -> None:
    """Make --uds and --fd of `options` items of its `bind`."""
    uds, fd = options.pop("uds", None), options.pop("fd", None)
    more = ([f"unix:{uds}"] if uds else []) + ([f"fd://{fd}"] if fd else [])
    if more:
        options["bind"] = (*options["bind"], *more)


def load_env_file(path: str, environ: MutableMapping[str, str]) -> None:
    """Set the variables of the file at `path`, but none that is set already.

    A line is ``NAME=VALUE``, also with ``export`` before it; a value may be quoted, and in double
    quotes ``\\n`` is a newline; ``#`` begins a comment. ``${NAME}`` and ``${NAME:-default}`` are
    replaced outside single quotes. Raises `ConfigError` that names the line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise ConfigError(
            f"--env-file {path} cannot be read: {error.strerror}; name a file of lines NAME=VALUE"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"--env-file {path} is no text in UTF-8: {error}; save it as UTF-8"
        ) from error
    for name, value in _from_file.items():
        if environ.get(name) == value:
            del environ[name]
    _from_file.clear()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None or "\0" in line:
            raise ConfigError(f"line {number} of {path} is {line!r:.80}; allowed is NAME=VALUE")
        if match["name"] not in environ:
            environ[match["name"]] = _from_file[match["name"]] = _value(match, environ)


def _value(match: re.Match[str], environ: MutableMapping[str, str]) -> str:
    if match["single"] is not None:
        return match["single"]
    text = match["plain"] or ""
    if match["double"] is not None:
        text = _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), match["double"])
    return _REFERENCE.sub(lambda found: environ.get(found["name"], found["default"] or ""), text)
