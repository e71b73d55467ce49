"""The rows of a site as a table for a terminal or a file.

A row is one line. In a terminal that is too narrow, notes go to lines of their own, and the widest
columns are cut. Elsewhere nothing is cut.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise

from bridge.errors import pluralize
from bridge.route_tables.site.rows import Row
from bridge.server.commands.routes.shown import Shown

HEADINGS = ("PATH", "METHODS", "APP", "RUNS", "VIEW", "FILE")
_GAP = "  "
#: A column is never made narrower than that.
_NARROWEST = 8
_CUT = "…"


def table_of(rows: Sequence[Row], width: int | None = None) -> list[str]:
    """Return the lines of the table, as wide as `width` at most if that is possible."""
    shown = [Shown.of(row) for row in rows]
    cells = [HEADINGS, *(each.cells() for each in shown)]
    notes = ["NOTE" if any(each.note for each in shown) else "", *(each.note for each in shown)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    whole = sum(widths) + len(_GAP) * len(widths) + max(map(len, notes))
    if width is None or whole <= width:
        return [_line((*row, note), widths) for row, note in zip(cells, notes, strict=True)]
    widths = _narrowed(widths, width - len(_GAP) * (len(widths) - 1))
    lines = []
    for row, note in zip(cells, ["", *notes[1:]], strict=True):
        lines.append(_line([_cut(*each) for each in zip(row, widths, strict=True)], widths))
        lines += textwrap.wrap(
            note, max(width, 20), initial_indent="  ! ", subsequent_indent="    "
        )
    return lines


def summary_of(rows: Sequence[Row]) -> str:
    """Return how many routes there are, and how many are never reached."""
    routes = [row for row in rows if not (row.is_rest or row.is_unread)]
    never = sum(1 for row in rows if row.never)
    text = (
        f"{pluralize(len(routes), 'route')} in {pluralize(len({r.app.app for r in rows}), 'app')}"
    )
    if never:
        text += f"; {never} {'is' if never == 1 else 'are'} never reached"
    return text


def visible(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows that are shown: routes, and apps without any."""
    for row in rows:
        if not row.is_rest or not row.app.entries:
            yield row


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(size) for cell, size in zip(cells, (*widths, 0), strict=False)]
    return _GAP.join(padded).rstrip()


def _narrowed(widths: list[int], total: int) -> list[int]:
    """Take from the widest columns until all of them fit into `total`, if they can be made to."""
    widths = widths.copy()
    while sum(widths) > total and max(widths) > _NARROWEST:
        in_order = sorted(set(widths), reverse=True)
        step = next((wide - next_one for wide, next_one in pairwise(in_order)), 1)
        widest = widths.index(max(widths))
        widths[widest] -= max(1, min(step, sum(widths) - total, widths[widest] - _NARROWEST))
    return widths


def _cut(text: str, width: int) -> str:
    """Return `text`, without its middle if it is too long: both ends tell most."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return text[: width - 1 - end] + _CUT + text[-end:]
