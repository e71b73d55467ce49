"""The groups in which the options of a command are shown: what people need first is on top (O9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from bridge.server.commands.help.pages import COLUMN, Formatter, write_section
from bridge.server.config.config import SETTINGS

#: Of `asgi-bridge serve`: the app, and the ten options that people need first.
FIRST: Final = (
    "app",
    *("host", "port", "reload", "workers", "threads"),
    *("mount", "cutover", "factory", "log_level", "config"),
)

_NEEDED_FIRST: Final = "The ten that people need first"
_OWN: Final = "Of this command only"
_START: Final = "Where it starts"
_HELP: Final = "Help"

#: Options that are no settings -> their group; what is not here is of one command only.
_GROUPS: Final = {
    **dict.fromkeys(("uds", "fd"), "Listening"),
    **dict.fromkeys(("config", "chdir", "env", "env_file", "pythonpath"), _START),
    "no_use_colors": "Logs",
}
_SECTIONS: Final = {each.name: each.section for each in SETTINGS}
_HELP_OF_APP: Final = next(each.help for each in SETTINGS if each.name == "app")


def write_groups(
    ctx: click.Context,
    formatter: click.HelpFormatter,
    parameters: Sequence[click.Parameter],
    first: Sequence[str],
) -> None:
    """Write the options of a command in their groups, those that `first` names on top."""
    by_name = {str(each.name): each for each in parameters}
    groups: dict[str, list[str]] = {_NEEDED_FIRST: [name for name in first if name in by_name]}
    groups |= {_OWN: [], **{title: [] for title in _SECTIONS.values()}, _START: [], _HELP: []}
    for name in by_name:
        if name not in first:
            is_help = not {*ctx.help_option_names}.isdisjoint(by_name[name].opts)
            group = _HELP if is_help else _GROUPS.get(name) or _SECTIONS.get(name, _OWN)
            groups[group].append(name)
    if isinstance(formatter, Formatter):
        formatter.column = COLUMN
    for title, names in groups.items():
        write_section(formatter, title, [_row(ctx, by_name[name]) for name in names])


def _row(ctx: click.Context, parameter: click.Parameter) -> tuple[str, str] | None:
    if isinstance(parameter, click.Argument) and parameter.name == "app":
        return "MODULE:ATTR", _HELP_OF_APP
    return parameter.get_help_record(ctx)
