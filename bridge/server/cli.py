"""`asgi-bridge serve module:attr`: the command line, made from the settings.

Exit codes: 0, told to stop and stopped; 1, something outside (an address in use), or the app failed
at its shutdown; 2, wrong usage; 3, the app could not be loaded or started. A supervisor should not
start it again after 2 and 3. A process that does not end in time is ended: 130 after a second
SIGINT, 143 after SIGTERM.
"""

from __future__ import annotations

import errno
import importlib
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from itertools import groupby, pairwise
from types import TracebackType
from typing import Any, NoReturn

import click

from bridge import accelerator
from bridge.arguments.checks import close_names
from bridge.errors import AppLoadError, ConfigError, LifespanFailed
from bridge.server.config.config import SETTINGS, Config
from bridge.server.config.equivalents import equivalent
from bridge.server.config.setting import Setting
from bridge.server.config.sources import Layer, ignored_variables, make_config
from bridge.server.lifecycle.guard import end_within
from bridge.server.lifecycle.orders import STARTING_LIMIT
from bridge.server.lifecycle.stopping import CUT_GRACE
from bridge.server.logs.loggers import open_standard_descriptors
from bridge.server.server import Server

FAILED, NOT_STARTED = 1, 3

#: The beginnings of the names of files that are no app's: their lines do not help its author.
_NOT_APP_FILES = (
    os.path.join(os.path.dirname(os.path.dirname(__file__)), ""),
    os.path.join(os.path.dirname(importlib.__file__), ""),
    "<frozen ",
)

_WITH = "without" if accelerator.read_head is None else "with"


class _Group(click.Group):
    """Says that `serve` is missing, and what to write."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        given = args.copy()
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _raise_equivalent(error, ctx)
            options = self.commands["serve"].params
            if not any(error.option_name in (*each.opts, *each.secondary_opts) for each in options):
                raise
            raise _missing_serve(ctx, f"{error.option_name} belongs to serve", given) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        known = name in self.commands or close_names(name, self.commands)
        if known or ctx.resilient_parsing:  # the latter if a shell asks for completions
            return super().resolve_command(ctx, args)
        is_app = any(mark in name for mark in ":./")
        raise _missing_serve(ctx, f"No such command {name!r}", args if is_app else ["module:attr"])


#: What other servers have behind options that are flags here.
_FLAG_VALUES = frozenset({"true", "false", "yes", "no", "on", "off", "auto", "1", "0"})


def _refuse_values_of_flags(command: click.Command, ctx: click.Context, args: list[str]) -> None:
    """Raise for ``--flag false``: `false` would be taken for the app."""
    flags = {
        name: option
        for option in command.params
        if isinstance(option, click.Option) and option.is_flag
        for name in (*option.opts, *option.secondary_opts)
    }
    for given, value in pairwise(args):
        if given in flags and value.lower() in _FLAG_VALUES:
            on, off = flags[given].opts[0], (*flags[given].secondary_opts, "")[0]
            raise click.UsageError(
                f"{given} takes no value (seen: {value}); say {on} or {off}", ctx
            )


def _raise_equivalent(error: click.NoSuchOption, ctx: click.Context) -> None:
    """Raise with what to write instead, if the option is one of uvicorn's or Gunicorn's (S63)."""
    instead = equivalent(error.option_name)
    if instead is not None:
        raise click.UsageError(instead, ctx) from None


def _missing_serve(ctx: click.Context, seen: str, given: list[str]) -> click.UsageError:
    return click.UsageError(f"{seen}; say: {ctx.info_name} serve {shlex.join(given)}", ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(
    None,
    *("-V", "--version"),
    package_name="asgi-bridge",
    prog_name="asgi-bridge",
    message=f"%(prog)s, version %(version)s, {_WITH} the accelerator",
)
def main() -> None:
    """Serve any Python web app: ASGI 3, 2 and 1, WSGI, and mixtures of them."""


class _SettingsCommand(click.Command):
    """A command whose options are the settings, in the sections of the reference page."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _refuse_values_of_flags(self, ctx, args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            _raise_equivalent(error, ctx)
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_name = {option.name: option for option in self.get_params(ctx)}
        for title, settings in groupby(SETTINGS, key=lambda setting: setting.section):
            names = [setting.name for setting in settings if setting.name in by_name]
            _write_section(ctx, formatter, title, [by_name.pop(name) for name in names])
        _write_section(ctx, formatter, "Other", list(by_name.values()))


def _write_section(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    title: str,
    options: list[click.Parameter],
) -> None:
    records = [record for option in options if (record := option.get_help_record(ctx))]
    with formatter.section(title):
        formatter.write_dl(records)


def _options() -> Iterator[click.Parameter]:
    """Yield an option for each setting; values stay text: `Setting.read` checks them."""
    for setting in SETTINGS:
        if setting.name == "app":
            yield click.Argument(["app"], required=False, metavar="[MODULE:ATTR]")
        else:
            yield click.Option(_declarations(setting), **_attributes(setting))
    yield click.Option(
        ["-c", "--config"],
        metavar="FILE",
        help="A TOML file of settings; its table [tool.bridge] if it has one. "
        "Default: pyproject.toml, if it has that table.",
    )


def _declarations(setting: Setting) -> list[str]:
    if isinstance(setting.default, bool):
        return [setting.name, f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"]
    return [setting.name, *setting.flags]


def _attributes(setting: Setting) -> dict[str, Any]:
    about: dict[str, Any] = {"default": None, "help": f"{setting.help}{_shown_default(setting)}"}
    if not isinstance(setting.default, bool):
        about["metavar"] = "|".join(setting.choices) or setting.type.metavar
        about["multiple"] = setting.many
    return about


def _shown_default(setting: Setting) -> str:
    return f"  [{setting.shown_default}]" if setting.shown_default else ""


@click.pass_context
def _serve(ctx: click.Context, /, **options: Any) -> None:
    file = options.pop("config")
    given: Layer = {
        name: (value, _label(name)) for name, value in options.items() if value not in (None, ())
    }
    for line in ignored_variables(os.environ, given):
        click.echo(f"Warning: {line}", err=True)
    try:
        config = make_config(given, os.environ, file)
    except ConfigError as error:
        raise click.UsageError(str(error), ctx) from error
    run(config)


def _label(name: str) -> str:
    return next(setting.flag for setting in SETTINGS if setting.name == name)


main.add_command(
    _SettingsCommand(
        "serve",
        callback=_serve,
        params=list(_options()),
        short_help="Serve an app.",
        help="Serve the app MODULE:ATTR, or several with --mount.\n\n"
        "Every option is also BRIDGE_OPTION in the environment, and a key of the file. The "
        "command line beats the environment, which beats the file.",
    )
)


def run(config: Config) -> None:
    """Serve until told to stop; if that fails, exit with the code that says why."""
    open_standard_descriptors()
    server = Server(config)
    try:
        server.run(last=True)
    except ConfigError as error:
        if getattr(error.__cause__, "errno", None) == errno.EADDRINUSE:
            _exit_with_error(error, FAILED)
        raise click.UsageError(str(error)) from error
    except (AppLoadError, LifespanFailed) as error:
        stopping = isinstance(error, LifespanFailed) and error.phase == "shutdown"
        _exit_with_error(error, FAILED if stopping else NOT_STARTED)
    end_within(max(server.orders.time_left(), CUT_GRACE), 0)


def _exit_with_error(error: Exception, code: int) -> NoReturn:
    """Print what is wrong, below the traceback of the app's own code if that raised."""
    cause = error.__cause__
    if isinstance(error, (AppLoadError, LifespanFailed)) and cause is not None:
        of_app = _app_frames(cause.__traceback__)
        if of_app is not None or isinstance(cause, SyntaxError):
            traceback.print_exception(cause.with_traceback(of_app))
        elif isinstance(error, LifespanFailed):
            traceback.print_exception(cause)
    click.echo(f"Error: {error}", err=True)
    end_within(STARTING_LIMIT, code)
    sys.exit(code)


def _app_frames(frames: TracebackType | None) -> TracebackType | None:
    """Cut our calls and imports off a traceback; None if no code of the app is in it."""
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_NOT_APP_FILES):
        frames = frames.tb_next
    return frames
