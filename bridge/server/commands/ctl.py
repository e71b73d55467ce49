"""`asgi-bridge ctl`: orders to a running server, over its control socket (O3, O8).

Exit codes: 0, done; 1, the order failed, or is not permitted; 2, wrong usage, also if several
servers run and none is named; 4, there is no server. With `--json`, errors are JSON, too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Final

import click

from bridge.arguments.checks import Check
from bridge.arguments.values import VALUE_TYPES
from bridge.errors import ConfigError
from bridge.server.commands.ctl_top import Top
from bridge.server.commands.help.pages import Command, Group
from bridge.server.control.client import Connection, NoServer, SeveralServers, find
from bridge.server.control.orders import OrderFailed, Result
from bridge.server.control.routes_text import not_started
from bridge.server.control.text import printable, stacks_text, status_text, workers_table

FAILED, USAGE, NO_SERVER, INTERRUPTED = 1, 2, 4, 130
#: What names the socket in the environment; the server reads it, too.
VARIABLE: Final = "BRIDGE_CONTROL_SOCKET"


class _Ended(click.ClickException):
    """The end of `ctl` after an error: a line, or JSON, and an exit code."""

    def __init__(self, error: str, code: int, as_json: bool) -> None:
        super().__init__(error)
        self.exit_code = code  # type: ignore[misc]  # click means it so
        self._as_json = as_json

    def show(self, file: Any = None) -> None:
        """Print it (overrides click's)."""
        if self._as_json:
            click.echo(json.dumps({"error": self.message, "code": self.exit_code}))
        else:
            click.echo(f"Error: {printable(self.message)}", err=True)


class _Orders(Group):
    """The orders; says which there are, and wrong usage in JSON if `--json` is given."""

    titles: ClassVar = {
        "Look": ("status", "workers", "top", "threads", "metrics"),
        "Change": ("reload", "scale", "reopen-logs", "stop"),
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_JSON] = "--json" in args
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            known = ", ".join(self.commands)
            raise click.UsageError(f"there is no order {args[0]!r}; the orders are {known}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not ctx.meta[_JSON]:
                raise
            raise _Ended(error.format_message(), USAGE, as_json=True) from None


_JSON: Final = "bridge.json"


@click.group(
    "ctl", cls=_Orders, short_help="Give orders to a running server, or look at what it does."
)
@click.option("--socket", metavar="PATH", help="The control socket; default: the only server's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, also for errors.")
@click.pass_context
def ctl(ctx: click.Context, socket: str | None, as_json: bool) -> None:
    """Give orders to a running server, or look at what it does.

    A server takes orders if it has a supervisor (-w 2 or more, --cutover, or --control-socket
    PATH). Without --socket, BRIDGE_CONTROL_SOCKET names the server; without both, it is the only
    one of this user.
    Exit codes: 0, done; 1, the order failed; 2, wrong usage; 4, there is no server.
    """
    ctx.meta[_SOCKET] = socket


_SOCKET: Final = "bridge.socket"


def _order(name: str, help: str, show: Callable[[Any], str], *more: click.Parameter) -> None:
    """Add the order `name`; `show` makes the text of its result."""

    @click.pass_context
    def give(ctx: click.Context, /, **options: Any) -> None:
        del options["as_json"]
        path, timeout = options.pop("socket"), options.pop("timeout", None)
        try:
            result = _carried_out(ctx, path, lambda connection: _give(connection, timeout))
        except KeyboardInterrupt:
            error = f"not waited for; the server goes on with {name}"
            raise _Ended(error, INTERRUPTED, ctx.meta[_JSON]) from None
        with _understanding(ctx):
            click.echo(json.dumps(_shaped(name, result)) if ctx.meta[_JSON] else show(result))
        if name == "reload":
            _tell_not_started(ctx, path)

    def _give(connection: Connection, timeout: float | None) -> Result:
        arguments = click.get_current_context().params
        number = {"number": arguments["number"]} if "number" in arguments else {}
        with _patience(name):
            result = connection.ask(name, timeout, **number)
        if name == "stop":
            connection.wait_for_end(timeout)
        return result

    ctl.add_command(Command(name, callback=give, params=[*more, *_common()], help=help))


@contextmanager
def _patience(order: str) -> Iterator[None]:
    """Say on stderr what is waited for, if that is a reload that takes long."""
    told = threading.Timer(_LONG_AGO, click.echo, (_WAITING,), {"err": True})
    told.daemon = True
    if order == "reload":
        told.start()
    try:
        yield
    finally:
        told.cancel()


#: Seconds until it is told that a reload is waited for.
_LONG_AGO: Final = 3.0
_WAITING: Final = (
    "waiting for the new workers to start, see the server's log; the old ones serve on (Ctrl+C "
    "ends only the waiting)"
)


def _tell_not_started(ctx: click.Context, path: str | None) -> None:
    """Say on stderr if the new app of a cutover did not start: its server goes on without it."""
    path = path or ctx.meta[_SOCKET] or os.environ.get(VARIABLE) or None
    with suppress(OrderFailed, NoServer, SeveralServers, LookupError, TypeError):
        with Connection(find(os.environ) if path in (None, "off") else path) as connection:
            lines = [*not_started(connection.ask("routes"))]
        for line in lines:
            click.echo(f"Warning: {printable(line)}", err=True)


@contextmanager
def _understanding(ctx: click.Context) -> Iterator[None]:
    """End with an error if a server of another version has answered what cannot be shown."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError):
        error = "the server is of another version, and its answer means nothing here; try its own "
        raise _Ended(f"{error}asgi-bridge, or --json", FAILED, ctx.meta[_JSON]) from None


def _shaped(name: str, result: Result) -> Result:
    """Return what `--json` prints: never a bare text."""
    return {"metrics" if name == "metrics" else "done": result} if type(result) is str else result


def _common() -> list[click.Parameter]:
    return [
        click.Option(["--socket"], metavar="PATH", help="The control socket of the server."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, also for errors."),
    ]


def _carried_out(
    ctx: click.Context, path: str | None, use: Callable[[Connection], Result]
) -> Result:
    """Return what `use` returns for a connection; end with the code that says what is wrong."""
    path = path or ctx.meta[_SOCKET] or os.environ.get(VARIABLE) or None
    as_json = ctx.meta[_JSON]
    try:
        with Connection(find(os.environ) if path in (None, "off") else path) as connection:
            return use(connection)
    except OrderFailed as error:
        raise _Ended(str(error), FAILED, as_json) from None
    except NoServer as error:
        raise _Ended(str(error), NO_SERVER, as_json) from None
    except SeveralServers as error:
        lines = [f"{error}:", *map(described, error.paths)]
        raise _Ended("\n".join(lines), USAGE, as_json) from None


def described(path: str) -> str:
    """Return a line for one of several servers."""
    try:
        with Connection(path) as connection:
            status = connection.ask("status", 1.0)
            about = f"{status['app']} at {', '.join(status['listeners'])}"
    except (OrderFailed, NoServer) as error:
        about = str(error)
    return f"  {path}  {printable(about)}"


def _read_seconds(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
    try:
        return _SECONDS.read(value, "--timeout")  # type: ignore[no-any-return]
    except ConfigError as error:
        raise click.UsageError(str(error), ctx) from error


_SECONDS: Final = Check(type=VALUE_TYPES["Seconds"], minimum=0, optional=True)


def _timeout(what: str) -> click.Option:
    return click.Option(
        ["--timeout"],
        metavar="SECONDS",
        callback=_read_seconds,
        help=f"The longest to wait for {what}. Default: as long as it takes.",
    )


_order(
    "status",
    "Show what the server and its workers do.",
    lambda status: f"{status_text(status, time.time())}\n\n{workers_table(status['workers'])}",
)
_order("workers", "Show one line for each worker.", workers_table)
_order(
    "reload",
    "Replace all workers by new ones, with the code that is on disk now. Waits until that is done; "
    "exits with 1 if the new version cannot start: the old one serves on.",
    printable,
    _timeout("the new workers"),
)
_order(
    "scale",
    "Run N workers from now on.",
    printable,
    click.Argument(["number"], type=int, metavar="N"),
)
_order("reopen-logs", "Open log files again, after they have been moved.", printable)
_order(
    "threads",
    "Show the stacks of every thread and task of each worker.",
    stacks_text,
    _timeout("the stacks"),
)
_order(
    "metrics",
    "Print all figures in Prometheus' text format.",
    lambda text: printable(text).rstrip(),
)
_order(
    "stop",
    "Stop the server: what is in flight is finished first. Waits until its process is gone.",
    printable,
    _timeout("its end"),
)


@click.pass_context
def _top(ctx: click.Context, socket: str | None, as_json: bool, once: bool) -> None:
    def status() -> Any:
        return _carried_out(ctx, socket, lambda connection: connection.ask("status"))

    top = Top(status)
    with _understanding(ctx):
        if ctx.meta[_JSON]:
            click.echo(json.dumps(top.figures()))
        else:
            top.show(once=once)


_ONCE = click.Option(["--once"], is_flag=True, help="Print one frame, and end.")
_TOP = "Show what each worker does, again each second; q ends it."
ctl.add_command(Command("top", callback=_top, params=[_ONCE, *_common()], help=_TOP))
