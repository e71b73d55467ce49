"""Docstrings as reStructuredText, which wants more than our docstrings have.

Code in them is indented, and needs a mark before it; and a letter after a backtick (`Mount`s) one
between them.
"""

from __future__ import annotations

import re

_LETTER_AFTER = re.compile(r"(?<![`\w])(`[^`]+`)(?=\w)")


def mend(app: object, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Mend the lines of a docstring in place (Sphinx calls this for each one)."""
    lines[:] = mended(lines)


def mended(lines: list[str]) -> list[str]:
    """The lines of a docstring, with marks where reStructuredText needs them."""
    marked: list[str] = []
    before = ""  # the last line that is not empty
    for number, line in enumerate(lines):
        begins = line.startswith("    ") and not before.startswith(" ")
        if begins and number and not lines[number - 1].strip() and not before.endswith("::"):
            marked += ["::", ""]
        marked.append(line if line.startswith("    ") else _LETTER_AFTER.sub(r"\1\\ ", line))
        before = line if line.strip() else before
    return marked
