"""The options of `asgi-bridge routes` that are no settings; what it prints, and its exit code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final

import click

from bridge.errors import ConfigError

#: The exit code with `--strict` if there are routes that no request can reach.
NEVER_REACHED: Final = 1


def _flag(name: str, flag: str, help: str) -> click.Option:
    return click.Option([name, flag], is_flag=True, help=help)


OPTIONS: Final = (
    _flag("as_json", "--json", "As JSON."),
    _flag("strict_routes", "--strict", "End with 1 if there are routes that are never reached."),
    click.Option(
        ["ask_path", "--path"],
        metavar="PATH",
        help="Say who would answer a request for this path.",
    ),
    click.Option(
        ["ask_method", "--method"],
        metavar="METHOD",
        help="The method of that request; `websocket` for a WebSocket.  [GET]",
    ),
    click.Option(["ask_host", "--host"], metavar="NAME", help="The host of that request."),
)


@dataclass(frozen=True)
class Asked:
    """What was asked for beside the app."""

    as_json: bool
    strict: bool
    path: str | None
    method: str
    host: str


def take(options: dict[str, Any]) -> Asked:
    """Take these options out of `options`. Raises `ConfigError`."""
    as_json, strict = options.pop("as_json"), options.pop("strict_routes")
    path, method, host = (options.pop(f"ask_{name}") for name in ("path", "method", "host"))
    if path is None and (method or host):
        given = "--method" if method else "--host"
        raise ConfigError(f"{given} is of a request whose path is missing; say --path /x as well")
    if path is not None and not path.startswith("/"):
        raise ConfigError(f"--path is {path!r}; allowed is a path that begins with a slash, /x")
    return Asked(as_json, strict, path, (method or "GET").upper(), host or "")


def output_width() -> int | None:
    """Return the columns of the terminal; None if the output goes elsewhere: it has no width."""
    if not sys.stdout.isatty():
        return None
    import shutil

    return shutil.get_terminal_size().columns
