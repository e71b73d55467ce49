"""Mistakes on the command line, answered with what to write instead."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import click

from bridge.arguments.checks import close_names
from bridge.server.config.equivalents import equivalent

#: What other servers have behind options that are flags here.
_FLAG_VALUES: Final = frozenset({"true", "false", "yes", "no", "on", "off", "auto", "1", "0"})

#: Options of `flask run` and the like, which servers for production lack -> what to write instead.
_OF_DEVELOPMENT: Final = {
    "--debug": "here: --reload starts the app anew when a file changes, --log-level tells more",
    "--app": "here: say the app without an option, such as asgi-bridge serve app:app",
    "--no-debugger": "here: leave it out, there is no debugger",
}


def refuse_values_of_flags(command: click.Command, ctx: click.Context, args: list[str]) -> None:
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


def raise_equivalent(error: click.NoSuchOption, ctx: click.Context) -> None:
    """Raise with what to write instead, if the option is one of uvicorn's or Gunicorn's (S63).

    So are those of `flask run`.
    """
    instead = equivalent(error.option_name)
    if error.option_name in _OF_DEVELOPMENT:
        instead = f"No such option {error.option_name!r}; {_OF_DEVELOPMENT[error.option_name]}"
    if instead is not None:
        raise click.UsageError(instead, ctx) from None


def raise_swapped(command: click.Command, error: click.NoSuchOption, ctx: click.Context) -> None:
    """Raise with the option that has the same words in another order, if there is one."""
    known = [name for each in command.params for name in each.opts]
    for name in close_names(error.option_name, known, 1):
        if sorted(name) == sorted(error.option_name):
            text = f"No such option {error.option_name!r}; did you mean {name}?"
            raise click.UsageError(text, ctx) from None
