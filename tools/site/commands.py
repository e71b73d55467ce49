"""docs/reference/commands.md: every command of `asgi-bridge`, made from its click objects."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bridge.server import cli
from bridge.server.config.config import SETTINGS
from bridge.server.config.setting import Setting

PROGRAM = "asgi-bridge"
HEAD = f"""\
# The command line

<!-- Made from the commands by scripts/fix. -->

Every command of `{PROGRAM}`, which is also `python -m bridge`, with its options. Those that are
settings are only named here: [settings](settings.md) says what they do, and how else they can be
set. `{PROGRAM} completion bash` (or `zsh`, `fish`) prints what makes a shell complete all of this.
"""

_SETTINGS = {each.name: each for each in SETTINGS}


def render() -> str:
    """The whole page."""
    return HEAD + "".join(
        f"\n## {' '.join(path)}\n\n{''.join(_about(command, path))}"
        for path, command in commands(cli.main, (PROGRAM,))
    )


def commands(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command below one, itself included, with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, below in _below(command):
            yield from commands(below, (*path, name))


def _below(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """The commands of a group, in their order; some are loaded when they are asked for."""
    context = click.Context(group)
    for name in group.commands or group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield name, command


def _about(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{' '.join(path)} {usage}\n```\n\n"
    yield f"{_text(command.help or '')}\n"
    if isinstance(command, click.Group):
        yield "\n| command | what it does |\n| --- | --- |\n"
        for name, below in _below(command):
            anchor = "-".join((*path, name))
            yield f"| [`{name}`](#{anchor}) | {_cell(below.get_short_help_str(200))} |\n"
    options = [each for each in command.get_params(context) if isinstance(each, click.Option)]
    own = [each for each in options if _setting(each) is None and not each.hidden]
    settings = [each for each in options if _setting(each) is not None]
    if own:
        yield "\n| option | what it does |\n| --- | --- |\n"
        for each in own:
            shown, about = each.get_help_record(context) or ("", "")
            if each.name == "help":
                about = "Show this command's options."
            yield f"| `{_cell(shown)}` | {_cell(about)} |\n"
    if settings:
        shown = ", ".join(f"`{_flag(each)}`" for each in settings)
        yield f"\nAnd these [settings](settings.md): {shown}.\n"
    if hidden := [each for each in options if each.hidden]:
        shown = ", ".join(f"`{name}`" for each in hidden for name in each.opts)
        yield f"\nTaken, and without effect or [explained](equivalents.md): {shown}.\n"


def _setting(option: click.Option) -> Setting | None:
    """The setting that an option sets: one of the same name and the same option."""
    setting = _SETTINGS.get(str(option.name))
    return setting if setting is not None and setting.flag in option.opts else None


def _flag(option: click.Option) -> str:
    setting = _setting(option)
    assert setting is not None
    return setting.flag


def _text(text: str) -> str:
    """A help text, whose paragraphs may be marked as they stand for click."""
    return "\n\n".join(
        " ".join(part.replace("\b", "").split()) for part in text.split("\n\n")
    ).replace("<", "&lt;")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
