"""How help is written: in groups, for wide and narrow terminals, bold where that is wished (O9)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

import click

#: The longest lines; longer ones are hard to read. The shortest, if a terminal is narrower still.
_WIDEST, _NARROWEST = 100, 30
#: Below this width a text stands under its option, and not beside it.
_NARROW: Final = 60
#: Where the texts of a long page begin.
COLUMN: Final = 30


class Formatter(click.HelpFormatter):
    """Writes headings bold, and lists so that they can be read in any width."""

    #: Where the texts of all lists begin; None: as far right as each list needs.
    column: int | None = None

    def __init__(
        self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None
    ) -> None:
        if width is None:
            columns = min(shutil.get_terminal_size().columns, max_width or _WIDEST)
            width = max(columns - 2, _NARROWEST)
        super().__init__(indent_increment, width, max_width)

    def write_heading(self, heading: str) -> None:
        """Write the heading of a group (overrides click's)."""
        self.write(f"{'':>{self.current_indent}}{_bold(heading + ':')}\n")

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = COLUMN, col_spacing: int = 2
    ) -> None:
        """Write a list: each term with its text beside or below it (overrides click's)."""
        rows = list(rows)
        widest = max((len(term) for term, _ in rows), default=0)
        column = self.column or min(widest + col_spacing, col_max)
        if self.width < _NARROW:
            column = 4
        room = max(self.width - self.current_indent - column, 10)
        indent = " " * self.current_indent
        for term, text in rows:
            lines = click.wrap_text(text, room).splitlines() if text else []
            beside = bool(lines) and len(term) + col_spacing <= column
            self.write(
                f"{indent}{term:{column}}{lines.pop(0)}\n" if beside else f"{indent}{term}\n"
            )
            for line in lines:
                self.write(f"{indent}{'':{column}}{line}\n")


def _bold(text: str) -> str:
    """Make it bold unless NO_COLOR is set; where there is no terminal, click takes that away."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else click.style(text, bold=True)


class Context(click.Context):
    """The context of a command whose help is written by `Formatter`."""

    formatter_class = Formatter


class Command(click.Command):
    """A command whose help is written by `Formatter`."""

    context_class = Context


class Group(click.Group):
    """A group of commands whose help is written by `Formatter`, the commands below titles."""

    context_class = Context
    command_class = Command
    #: Title -> the names of the commands below it; what is in none comes last.
    titles: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands below their titles (overrides click's)."""
        rows = {
            name: (name, command.get_short_help_str(limit=200))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        }
        if isinstance(formatter, Formatter):
            formatter.column = max(map(len, rows), default=0) + 2
        for title, names in self.titles.items():
            write_section(formatter, title, [rows.pop(name, None) for name in names])
        write_section(formatter, "More commands" if self.titles else "Commands", rows.values())


def write_section(
    formatter: click.HelpFormatter, title: str, rows: Iterable[tuple[str, str] | None]
) -> None:
    """Write a group of options or commands, unless it is empty."""
    if shown := [row for row in rows if row is not None]:
        with formatter.section(title):
            formatter.write_dl(shown)
