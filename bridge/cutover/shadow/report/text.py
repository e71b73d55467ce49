"""A summary as text for people (M12). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.cutover.shadow.report.lines import Entry
from bridge.cutover.shadow.report.summary import SHOWN, RouteSummary, Summary
from bridge.errors import pluralize

_COLUMNS: Final = ("COMPARED", "EQUAL", "DIFFERENT", "DROPPED", "ERRORS")
#: The widest that names of routes are shown.
_WIDEST: Final = 50


def summary_text(summary: Summary) -> str:
    """Return a table of all routes, and below it what differs most often in each."""
    routes = sorted(summary.routes.items())
    rows = [["ROUTE", *_COLUMNS], *([name[:_WIDEST], *_figures(route)] for name, route in routes)]
    if len(routes) != 1:
        sums = [sum(int(row[at]) for row in rows[1:]) for at in range(1, 6)]
        rows.append(["all", *map(str, sums)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_line(row, widths) for row in rows]
    for name, route in routes:
        lines += _about(name, route)
    if summary.unreadable:
        lines += ["", f"{pluralize(summary.unreadable, 'line')} could not be read"]
    return "\n".join(lines)


def _figures(route: RouteSummary) -> list[str]:
    figures = (route.compared, route.equal, route.different, route.dropped, route.errors)
    return list(map(str, figures))


def _line(row: list[str], widths: list[int]) -> str:
    name, *figures = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join([row[0].ljust(widths[0]), *figures]).rstrip() if name else ""


def _about(name: str, route: RouteSummary) -> Iterator[str]:
    """Yield what is to be said of one route below the table."""
    said = list(_differences(route))
    if route.truncated:
        said.append(f"  compared only as far as they go: {pluralize(route.truncated, 'request')}")
    said += [
        f"  not compared, {count} x: {reason}" for reason, count in route.reasons.most_common(SHOWN)
    ]
    if said:
        yield from ("", f"{name}:", *said)


def _differences(route: RouteSummary) -> Iterator[str]:
    for key, count in route.shown():
        pattern, kind = key
        yield f"  {count} x {pattern} ({kind})"
        example = route.examples[key]
        yield f"      {_values(example)}   in {example['request']}"
    more = len(route.frequent) - SHOWN
    if more > 0:
        yield f"  and {pluralize(more, 'other difference')}"


def _values(example: Entry) -> str:
    old, new = example.get("old") or "nothing", example.get("new") or "nothing"
    return f"{old} -> {new}"
