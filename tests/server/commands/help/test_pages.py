"""How help is written, in any width."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from bridge.server.cli import main
from bridge.server.commands.help.pages import Context, Formatter, Group
from tools.site import commands

PAGES = {" ".join(path[1:]): command for path, command in commands.commands(main, ("asgi-bridge",))}


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A terminal, whose width is in COLUMNS."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.delenv("TERM", raising=False)
    return monkeypatch


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("page", PAGES)
def test_every_page_fits(columns: pytest.MonkeyPatch, page: str, width: int) -> None:
    """O9: no text is wider than the terminal, or than can be read; on narrow ones it stands below.

    Names of options and words that cannot be broken stay whole.
    """
    columns.setenv("COLUMNS", str(width))
    shown = CliRunner().invoke(main, [*page.split(), "--help"])
    assert shown.exit_code == 0
    whole = ("-", "Usage:", "asgi-bridge ", "eval ")
    for line in map(str.rstrip, shown.output.splitlines()):
        is_short = len(line) <= min(width, 100)
        assert is_short or len(line.split()) == 1 or line.lstrip().startswith(whole), line


def test_commands_are_below_titles(columns: pytest.MonkeyPatch) -> None:
    """O9: what one needs first comes first, and no command is left out."""
    shown = CliRunner().invoke(main, ["--help"], terminal_width=100).output
    titles = [line for line in shown.splitlines() if line.endswith(":") and line[0] != " "]
    assert titles == ["Options:", *(f"{title}:" for title in main.titles)]
    assert all(f"\n  {name} " in shown for name in main.commands)


@pytest.mark.parametrize(
    ("variable", "value", "bold"),
    [("NO_COLOR", "1", False), ("TERM", "dumb", False), ("X", "", True)],
)
def test_colours(columns: pytest.MonkeyPatch, variable: str, value: str, bold: bool) -> None:
    """O9: headings are bold on a terminal, unless NO_COLOR says no."""
    columns.setenv(variable, value)
    shown = CliRunner().invoke(main, ["serve", "--help"], color=True).output
    assert ("\x1b[1m" in shown) is bold
    assert "\x1b" not in CliRunner().invoke(main, ["serve", "--help"]).output


def test_a_list_without_titles() -> None:
    """O9: the commands of a group that has no titles are one list."""
    group = Group("g", commands=[click.Command("one", short_help="The first.")])
    formatter = Formatter(width=80)
    group.format_commands(Context(group), formatter)
    assert click.unstyle(formatter.getvalue()) == "Commands:\n  one  The first.\n"
