"""`asgi-bridge serve module:attr`, and the other commands: made from the settings."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import click

from bridge import accelerator
from bridge.arguments.checks import close_names
from bridge.errors import ConfigError
from bridge.server.commands import as_it_is, surroundings
from bridge.server.commands.checking import options as checking
from bridge.server.commands.ctl import ctl
from bridge.server.commands.cutover import cutover
from bridge.server.commands.help import completion, first_steps, groups, mistakes, pages
from bridge.server.commands.routes import options as routes_options
from bridge.server.commands.running import exit_codes, run, run_server
from bridge.server.config import commands
from bridge.server.config.config import SETTINGS, Config
from bridge.server.config.setting import Setting
from bridge.server.config.sources import Layer, ignored_variables, make_config
from bridge.server.lifecycle.guard import end_within
from bridge.server.lifecycle.orders import STARTING_LIMIT
from bridge.server.process.exits import WRONG_USAGE

_WITH = "without" if accelerator.read_head is None else "with"


class _Group(pages.Group):
    """Says how to begin; or that `serve` is missing, and what to write."""

    titles: ClassVar = {
        "To begin": ("serve", "check", "routes", "config"),
        "A server that runs": ("ctl",),
        "From an old app to a new one": ("cutover",),
        "Sockets and apps apart": ("gateway", "worker"),
        "Your shell": ("completion",),
    }

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            click.echo(first_steps.text(Path()), err=True)
            ctx.exit(WRONG_USAGE)
        given = args.copy()
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            mistakes.raise_equivalent(error, ctx)
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
    """Serve any Python web app: ASGI 3, 2 and 1, WSGI, and mixtures of them.

    To begin: asgi-bridge serve module:attr. Without arguments it shows more of that.
    """


class _SettingsCommand(pages.Command):
    """A command whose options are the settings, in the sections of the reference page."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            mistakes.refuse_values_of_flags(self, ctx, args)
        ctx.allow_extra_args = True  # we say more about them
        try:
            left = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            mistakes.raise_equivalent(error, ctx)
            mistakes.raise_swapped(self, error, ctx)
            raise
        surroundings.anchor(ctx.params)
        if left and not ctx.resilient_parsing:
            raise click.UsageError(self._unexpected(left), ctx)
        return left

    def _unexpected(self, seen: list[str]) -> str:
        if any(isinstance(each, click.Argument) for each in self.params):
            return f"one app can be named here (seen as well: {shlex.join(seen)}); more: --mount"
        name = shlex.join(seen)
        return f"a {self.name} runs no app (seen: {name}); workers do: asgi-bridge worker {name}"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        first = groups.FIRST if self.name == "serve" else ()
        groups.write_groups(ctx, formatter, self.get_params(ctx), first)


def _options(names: Set[str]) -> Iterator[click.Parameter]:
    """Yield an option for each of these settings; their values are texts: `Setting.read` checks."""
    for setting in SETTINGS:
        if setting.name not in names:
            continue
        if setting.name == "app":
            yield click.Argument(
                ["app"], required=False, metavar="[MODULE:ATTR]", shell_complete=completion.apps
            )
        else:
            yield click.Option(_declarations(setting), **_attributes(setting))
    yield click.Option(
        ["-c", "--config"],
        metavar="FILE",
        shell_complete=completion.files,
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
        about["shell_complete"] = completion.of_setting(setting)
    return about


def _shown_default(setting: Setting) -> str:
    return f"  [{setting.shown_default}]" if setting.shown_default else ""


def _read(ctx: click.Context, options: dict[str, Any]) -> Config:
    """Return the settings of all sources. Raises `UsageError`."""
    try:
        return _read_sources(options, warns=True)
    except ConfigError as error:
        raise click.UsageError(str(error), ctx) from error


def _read_with_app(ctx: click.Context, options: dict[str, Any]) -> Config:
    """Return the settings of all sources. Raises `UsageError`, also if they name no app."""
    config = _read(ctx, options)
    if config.app is None and not config.mount and config.cutover is None:
        raise click.UsageError(first_steps.missing_app(str(ctx.info_name), Path()), ctx)
    return config


def _read_sources(options: dict[str, Any], *, warns: bool = False) -> Config:
    """Return the settings of all sources as they are now: also at a reload. Raises `ConfigError`.

    `warns`: print a line for each variable that is ignored.
    """
    options = options.copy()
    file = options.pop("config")
    surroundings.enter(options)
    surroundings.take_binds(options)
    as_it_is.take(options)
    given: Layer = {
        name: (value, _label(name)) for name, value in options.items() if value not in (None, ())
    }
    if warns:
        for line in ignored_variables(os.environ, given):
            click.echo(f"Warning: {line}", err=True)
    return make_config(given, os.environ, file)


@click.pass_context
def _serve(ctx: click.Context, /, check_config: bool, print_config: bool, **options: Any) -> None:
    config = (_read if print_config else _read_with_app)(ctx, options)
    if print_config:
        _show(config, as_json=False)
    if check_config:
        _check(config)
    elif not print_config:
        run_server(config, partial(_read_sources, options))


def _check(config: Config) -> None:
    from bridge.server.commands.check_config import check

    with exit_codes():
        lines = check(config)
    click.echo("\n".join(lines))
    end_within(STARTING_LIMIT, 0)


@click.pass_context
def _config(ctx: click.Context, /, as_json: bool, **options: Any) -> None:
    _show(_read(ctx, options), as_json=as_json)


def _show(config: Config, *, as_json: bool) -> None:
    from bridge.server.commands import show_config

    click.echo(show_config.as_json(config) if as_json else show_config.as_toml(config), nl=False)


@click.pass_context
def _gateway(ctx: click.Context, /, **options: Any) -> None:
    config = _read(ctx, options)
    from bridge.server.commands.gateway import GatewayProcess  # other commands need no Redis

    run(config, GatewayProcess)


@click.pass_context
def _worker(ctx: click.Context, /, **options: Any) -> None:
    config = _read_with_app(ctx, options)
    from bridge.server.commands.worker import WorkerProcess

    run(config, WorkerProcess)


@click.pass_context
def _routes(ctx: click.Context, /, **options: Any) -> None:
    with exit_codes():
        asked = routes_options.take(options)
        config = _read_with_app(ctx, options)
        from bridge.server.commands.routes.command import routes  # servers need none of it

        text, code = routes(config, asked, routes_options.output_width())
    click.echo(text)
    end_within(STARTING_LIMIT, code)
    ctx.exit(code)


@click.pass_context
def _check_app(ctx: click.Context, /, **options: Any) -> None:
    from bridge.server.commands.checking.command import run_check  # which loads more than a server

    given = {name: options.pop(name) for name in checking.NAMES}
    config = _read_with_app(ctx, options)
    try:
        wanted = checking.read_options(given, config)
    except ConfigError as error:
        raise click.UsageError(str(error), ctx) from error
    run_check(config, wanted, given)


def _label(name: str) -> str:
    if name == "app":
        return "MODULE:ATTR"
    return next(setting.flag for setting in SETTINGS if setting.name == name)


_SOURCES = (
    "Every option is also BRIDGE_OPTION in the environment, and a key of the file. The command "
    "line beats the environment, which beats the file."
)


def _flag(name: str, flag: str, help: str) -> click.Option:
    return click.Option([name, flag], is_flag=True, help=help)


def _add_command(
    name: str,
    callback: Callable[..., None],
    settings: Set[str],
    short_help: str,
    help: str,
    more: Sequence[click.Option] = (),
) -> None:
    binding = surroundings.BINDING if "bind" in settings else ()
    main.add_command(
        _SettingsCommand(
            name,
            callback=callback,
            params=[*_options(settings), *binding, *surroundings.OPTIONS, *as_it_is.OPTIONS, *more],
            short_help=short_help,
            help=f"{help}\n\n{_SOURCES}",
        )
    )


_add_command(
    "serve",
    _serve,
    commands.SERVE,
    "Serve an app.",
    "Serve the app MODULE:ATTR, or several with --mount.",
    [
        _flag("check_config", "--check-config", "Load the app, say what is wrong, and stop."),
        _flag("print_config", "--print-config", "As `asgi-bridge config`: show, and stop."),
    ],
)
_add_command(
    "check",
    _check_app,
    commands.CHECK,
    "Say what of an app will and will not work here.",
    "Load the app MODULE:ATTR, or several with --mount, send it a few requests that only read, and "
    "say what will and will not work under each runner and adapter. Exit codes: 0, nothing as bad "
    "as --fail-on; 1, something is; 2, wrong usage; 3, the app cannot be loaded.",
    checking.OPTIONS,
)
_add_command(
    "gateway",
    _gateway,
    commands.GATEWAY,
    "Hold the sockets of apps that workers run.",
    "Take requests and WebSockets, and have them answered by the workers that use the same Redis, "
    "which --channels names.",
)
_add_command(
    "worker",
    _worker,
    commands.WORKER,
    "Run an app for gateways.",
    "Run the app MODULE:ATTR, or several with --mount, for the gateways that use the same Redis, "
    "which --channels names. A worker has no port.",
)
_add_command(
    "config",
    _config,
    frozenset(each.name for each in SETTINGS),
    "Show every setting, and where it comes from.",
    "Show every setting with its value, and where that comes from, for the same options, variables "
    "and file as at a start. What is shown is a TOML file for --config.",
    [_flag("as_json", "--json", "As JSON.")],
)
_add_command(
    "routes",
    _routes,
    commands.ROUTES,
    "Show every route of an app, and those that are never reached.",
    "Show the routes of the app MODULE:ATTR, or of several with --mount: who answers which path, "
    "by which view, and which routes no request can reach. Nothing is started or called.",
    routes_options.OPTIONS,
)
main.add_command(ctl)
main.add_command(cutover)
main.add_command(completion.completion)
