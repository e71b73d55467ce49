"""`asgi-bridge cutover set` and `status`: who answers which route of a running server (M3, M5).

Exit codes are those of `asgi-bridge ctl`: 0, done; 1, the order failed; 2, wrong usage; 4, there is
no server.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any, Final

import click

from bridge.cutover.editing import switch_in_file
from bridge.cutover.route import MODE
from bridge.cutover.switches import shown
from bridge.errors import ConfigError
from bridge.server.commands.ctl import FAILED, NO_SERVER, USAGE, VARIABLE, described
from bridge.server.commands.help.pages import Command
from bridge.server.control.client import Connection, NoServer, SeveralServers, find
from bridge.server.control.orders import OrderFailed
from bridge.server.control.routes_text import status_lines, warnings_of
from bridge.server.control.text import printable

#: Seconds for a server to compare its routes, until an order says nothing of them.
_LOOKING: Final = 3.0
#: What to do instead, where no server takes the order.
_WITHOUT_SERVER: Final = (
    ". A server in one process, or another one, reads its file itself: say `asgi-bridge cutover "
    "set ... --file cutover.toml`, and send it SIGHUP"
)
SOCKET = click.Option(
    ["--socket"], metavar="PATH", help="The control socket; default: the only server's."
)


class _Ended(click.ClickException):
    """The end after an error: a line, and an exit code."""

    def __init__(self, error: str, code: int) -> None:
        super().__init__("\n".join(map(printable, error.split("\n"))))
        self.exit_code = code  # type: ignore[misc]  # click means it so


def _on_command_line(error: object) -> str:
    """Return an error that says what to type, and not what to write in Python."""
    return str(error).replace("say share=5 for 5 %", "say --share 5 for 5 %")


def _ask(path: str | None, order: str, **arguments: Any) -> Any:
    path = path or os.environ.get(VARIABLE) or None
    try:
        with Connection(find(os.environ) if path in (None, "off") else path) as connection:
            return connection.ask(order, **arguments)
    except OrderFailed as error:
        raise _Ended(_on_command_line(error), FAILED) from None
    except NoServer as error:
        more = _WITHOUT_SERVER if order == "switch" else ""
        raise _Ended(f"{error}{more}", NO_SERVER) from None
    except SeveralServers as error:
        lines = [f"{error}:", *map(described, error.paths)]
        raise _Ended("\n".join(lines), USAGE) from None


def _set(route: str, mode: str, share: str | None, file: str | None, socket: str | None) -> None:
    if file is None:
        line = _ask(socket, "switch", route=route, mode=mode, share=share)
    else:
        try:
            line = shown(switch_in_file(file, route, mode, share))
        except ConfigError as error:
            text = _on_command_line(error)
            raise _Ended(f"{text}; nothing was changed", FAILED) from None
    click.echo(printable(line))
    if file is None:
        for warning in _warnings(socket, route):
            click.echo(f"Warning: {printable(warning)}", err=True)


def _warnings(socket: str | None, route: str) -> list[str]:
    """Return what is wrong with the route, as soon as the server has looked at it."""
    ended = time.monotonic() + _LOOKING
    try:
        while (status := _ask(socket, "routes")).get("looks") and time.monotonic() < ended:
            time.sleep(0.1)
        return [*warnings_of(status, route)]
    except _Ended:  # the order is done; the server may have ended since
        return []


def _status(socket: str | None, as_json: bool) -> None:
    status = _ask(socket, "routes")
    if as_json:
        click.echo(json.dumps(status))
        return
    for line in status_lines(status):
        click.echo(printable(line))


set_command = Command(
    "set",
    callback=_set,
    params=[
        click.Argument(["route"]),
        click.Argument(["mode"], metavar=f"[{'|'.join(MODE.choices)}]"),
        click.Option(["--share"], metavar="PERCENT", help="With canary: how many of the clients."),
        click.Option(
            ["--file"],
            metavar="FILE",
            help="Change this file, and ask no server: for servers that read it themselves.",
        ),
        SOCKET,
    ],
    short_help="Turn the switch of a route.",
    help="Turn the switch of ROUTE on a running server: in its file, and in each worker. What else "
    "has been changed in the file comes into force, too. Exit codes: 0, done; 1, the order "
    "failed; 2, wrong usage; 4, there is no server.",
)
status_command = Command(
    "status",
    callback=_status,
    params=[SOCKET, click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")],
    short_help="Show the routes, their switches, and how they go.",
    help="Show the routes of a running server, as they are in force: who answers them; for both "
    "apps the requests since the server was started, how many of them failed (5xx, and what was "
    "rescued), and how long 95 % took at most; how many copies differed in mode shadow; and how "
    "gate and steps stand.",
)
