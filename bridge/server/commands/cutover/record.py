"""`asgi-bridge cutover record`: serve an app, and write what it is asked (M13)."""

from __future__ import annotations

import os
from typing import Any

import click

from bridge.cutover.shadow.recorder import Recorder
from bridge.server.apps.loading import load_app
from bridge.server.commands.help.pages import Command


def recorded(target: str, path: str, all_methods: bool) -> Recorder:
    """Make the app that is served: `target` with a recorder around it."""
    recorder = Recorder(load_app(target), path, all_methods=all_methods)
    what = "all methods" if all_methods else "GET, HEAD and OPTIONS; with --unsafe all methods"
    recorder.announced_as = f"{target}, recorded in {path} ({what})"
    return recorder


@click.pass_context
def _record(ctx: click.Context, /, app: str, to: str, unsafe: bool, more: tuple[str, ...]) -> Any:
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    target = f"{__name__}:recorded({app!r}, {os.path.abspath(to)!r}, {unsafe})"
    serve = root.command.get_command(root, "serve")
    assert serve is not None
    with serve.make_context("serve", [target, *more], parent=root) as own:
        return serve.invoke(own)


command = Command(
    "record",
    callback=_record,
    params=[
        click.Argument(["app"], metavar="MODULE:ATTR"),
        click.Argument(["more"], metavar="[SERVE'S OPTIONS]...", nargs=-1, type=click.UNPROCESSED),
        click.Option(["--to"], required=True, metavar="FILE", help="The file to write to."),
        click.Option(
            ["--unsafe"], is_flag=True, help="Record POST and the like, too, without secrets."
        ),
    ],
    context_settings={"ignore_unknown_options": True},
    short_help="Serve an app, and write what it is asked, for a replay.",
    help="Serve the app MODULE:ATTR as `asgi-bridge serve` does, with the same options, and write "
    "each request to FILE, without secrets and bounded on disk. WebSockets are not recorded.",
)
