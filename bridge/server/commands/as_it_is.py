"""Options of uvicorn and Gunicorn that choose what is always so here (O5).

``--loop uvloop --http httptools`` asks for nothing else than what is done anyway, and is taken. Any
other choice is refused. The help does not show these options.
"""

from __future__ import annotations

import os
from typing import Any, Final

import click

from bridge.errors import ConfigError

_LOOP = "the loop is uvloop's, where there is one, and else asyncio's"
_PARSER = "httptools parses, and our own code checks"

#: An option -> the choices that are taken, and what is so.
_CHOICES: Final = {
    "--loop": (("auto", "uvloop"), _LOOP),
    "--asgi-loop": (("auto", "uvloop"), _LOOP),
    "--http": (("auto", "httptools"), _PARSER),
    "--http-parser": (("auto", "fast"), _PARSER),
    "--ws": (
        ("auto", "websockets", "websockets-sansio", "wsproto"),
        "WebSockets are this server's own",
    ),
}

OPTIONS: Final = (
    *(click.Option([option], hidden=True) for option in _CHOICES),
    click.Option(["--reset-contextvars"], is_flag=True, hidden=True),
    click.Option(["--no-use-colors"], is_flag=True, help="As NO_COLOR=1 in the environment."),
)


def take(options: dict[str, Any]) -> None:
    """Take these options out of `options`. Raises `ConfigError` for what is not done here."""
    for option, (taken, what_is_so) in _CHOICES.items():
        value = options.pop(option.removeprefix("--").replace("-", "_"), None)
        if value is not None and value not in taken:
            raise ConfigError(
                f"{option} is {value!r}; allowed is one of {', '.join(taken)}: {what_is_so}"
            )
    options.pop("reset_contextvars", None)  # each request has a context of its own
    if options.pop("no_use_colors", False):
        os.environ["NO_COLOR"] = "1"
