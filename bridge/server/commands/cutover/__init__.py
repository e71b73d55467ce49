"""`asgi-bridge cutover`: the commands around moving from an old app to a new one (rules M)."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

from bridge.server.commands.help.pages import Group

#: Command -> the module that has it, as `command` or by a name; loaded when it is asked for.
_COMMANDS: Final = {
    "set": "bridge.server.commands.cutover.switch:set_command",
    "status": "bridge.server.commands.cutover.switch:status_command",
    "report": "bridge.server.commands.cutover.report",
    "record": "bridge.server.commands.cutover.record",
    "replay": "bridge.server.commands.cutover.replay",
}


class _Commands(Group):
    """Loads a command when it is used: a server needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names (overrides click's)."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command (overrides click's)."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name or "command")
        return command


cutover: Final = _Commands(
    "cutover",
    short_help="Move from an old app to a new one.",
    help="Move from an old app to a new one: turn the switches of routes, and compare what both "
    "answer.",
)
