"""`asgi-bridge cutover report`: what the comparison of old and new has found (M12).

Exit codes: 0; 1, more has differed than `--max-different` allows; 2, wrong usage, or no report.
"""

from __future__ import annotations

import json
import sys

import click

from bridge.cutover.shadow.report.summary import Limit, Summary, parse_limit, read_report
from bridge.cutover.shadow.report.text import summary_text
from bridge.errors import ConfigError
from bridge.server.commands.help.pages import Command
from bridge.server.control.text import printable

#: More has differed than is allowed.
ABOVE = 1


def _read_limit(ctx: click.Context, option: click.Parameter, value: str | None) -> Limit | None:
    try:
        return None if value is None else parse_limit(value)
    except ConfigError as error:
        raise click.UsageError(f"--max-different: {error}", ctx) from None


MAX_DIFFERENT = click.Option(
    ["--max-different", "limit"],
    metavar="N|P%",
    callback=_read_limit,
    help="Exit with 1 if more requests differ, if one side has not answered, or if nothing was "
    "compared.",
)
AS_JSON = click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")


def show(summary: Summary, limit: Limit | None, *, as_json: bool) -> None:
    """Print a summary, and exit with 1 if it breaks the limit."""
    why = None if limit is None else limit.broken_by(summary)
    if as_json:
        click.echo(json.dumps({**summary.as_dict(), "broken": why}))
    else:
        lines = summary_text(summary).splitlines()
        click.echo("\n".join(map(printable, lines)))
    if why is not None:
        if not as_json:
            click.echo(f"Error: {why}", err=True)
        sys.exit(ABOVE)


@click.pass_context
def _report(ctx: click.Context, /, file: str, limit: Limit | None, as_json: bool) -> None:
    try:
        summary = read_report(file)
    except ConfigError as error:
        raise click.UsageError(str(error), ctx) from None
    show(summary, limit, as_json=as_json)


command = Command(
    "report",
    callback=_report,
    params=[click.Argument(["file"], metavar="FILE"), MAX_DIFFERENT, AS_JSON],
    short_help="Sum up what the comparison of old and new has found.",
    help="Sum up the report FILE by route: how many answers were compared, equal and different, "
    "and what differs most often, with an example of each. Older parts (FILE.1, ...) count, too. "
    "What may differ is what the cutover's file said when it was compared: a new rule there "
    "(ignore = [...]) is for what comes after it, and begins with a reload.",
)
