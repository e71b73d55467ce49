"""`asgi-bridge completion bash`: by which a shell completes commands, options and values (O10).

Click has the scripts, and completes commands and options. What may be a value is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from bridge.server.commands.help.pages import Command
from bridge.server.config.setting import Setting

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Lists what the last argument may become; it is given what of it has been typed.
Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem[Any]]]"

SHELLS: Final = ("bash", "zsh", "fish")
#: The variable by which a script asks for completions; click makes it of the program's name.
_VARIABLE: Final = "_ASGI_BRIDGE_COMPLETE"
#: How the values of settings are called that are files.
_FILES: Final = ("the path of a file", "the path of a TOML")
_DIRECTORIES: Final = frozenset({"app_dir", "reload_dir"})


def files(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[Any]]:
    """Let the shell complete files."""
    return [_item(typed, "file")]


def directories(
    ctx: click.Context, parameter: click.Parameter, typed: str
) -> list[CompletionItem[Any]]:
    """Let the shell complete directories."""
    return [_item(typed, "dir")]


def apps(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem[Any]]:
    """Complete the names of apps that the working directory plainly holds."""
    from bridge.server.commands.help.obvious import find

    names = [each.words.partition(" ")[0] for each in find(Path("."))]
    return one_of(names)(ctx, parameter, typed)


def one_of(choices: Sequence[str]) -> Completer:
    """Return what completes one of `choices`."""
    return lambda ctx, parameter, typed: [
        _item(choice) for choice in choices if choice[: len(typed)] == typed
    ]


def of_setting(setting: Setting) -> Completer | None:
    """Return what completes the value of a setting; None if anything may be one."""
    if setting.choices:
        return one_of(setting.choices)
    if setting.name in _DIRECTORIES:
        return directories
    return files if setting.type.words.startswith(_FILES) else None


def _item(text: str, type: str = "plain") -> CompletionItem[Any]:
    from click.shell_completion import CompletionItem  # only if a shell asks

    return CompletionItem(text, type=type)


@click.pass_context
def _completion(ctx: click.Context, /, shell: str) -> None:
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(ctx.find_root().command, {}, "asgi-bridge", _VARIABLE).source())


_HELP: Final = """Print the script by which a shell completes commands, options and values.

\b
bash: put into ~/.bashrc
  eval "$(asgi-bridge completion bash)"
zsh: put into ~/.zshrc, after compinit
  eval "$(asgi-bridge completion zsh)"
fish: run once
  asgi-bridge completion fish > ~/.config/fish/completions/asgi-bridge.fish
"""

completion: Final = Command(
    "completion",
    callback=_completion,
    params=[click.Argument(["shell"], type=click.Choice(SHELLS))],
    short_help="Print what makes a shell complete all of this.",
    help=_HELP,
)
