"""The table, as Markdown and JSON."""

from __future__ import annotations

import time
from typing import Any

from bench.deploys.cells import Cell
from bench.deploys.servers import COLUMNS, WORKERS
from bench.report.document import aligned

ABOUT = "requests that failed while the server was deployed, of all"


def full(
    cells: dict[str, dict[str, Cell | str]], machine: dict[str, object], versions: dict[str, str]
) -> dict[str, Any]:
    """All that was seen; a cell that is text says why there is none."""
    return {
        "scenario": "deploys",
        "about": ABOUT,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": machine,
        "versions": versions,
        "cells": {
            name: {
                column: cell if isinstance(cell, str) else {"text": str(cell), **cell.as_json()}
                for column, cell in row.items()
            }
            for name, row in cells.items()
        },
    }


def markdown(report: dict[str, Any]) -> str:
    """The table, what went wrong in it, and the versions."""
    machine, cells = report["machine"], report["cells"]
    columns = [column for column in COLUMNS if any(column in row for row in cells.values())]
    rows = [
        [name, *(_text(row.get(column, "")) for column in columns)] for name, row in cells.items()
    ]
    parts = [
        f"# deploys: {report['about']}",
        f"{report['date']}; {machine['processor']}, {machine['cores']} cores, Linux "
        f"{machine['kernel']}. 64 keep-alive clients, {WORKERS} workers. In brackets: requests in "
        "flight on a worker that was killed, and those on connections that were closed after the "
        'final SIGTERM. "-": the server has no order for it.',
        aligned([["", *columns], *rows]),
    ]
    if lines := list(_lines(cells)):
        parts.append("\n".join(lines))
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    parts.append(f"Versions: {versions}.")
    return "\n\n".join(parts) + "\n"


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell if cell == "-" else "?"
    return str(cell["text"])


def _lines(cells: dict[str, dict[str, Any]]) -> Any:
    """What was lost, by kind, and what else there is to say about a cell."""
    for name, row in cells.items():
        for column, cell in row.items():
            if isinstance(cell, str):
                said = [] if cell == "-" else [cell]
            else:
                said = [f"lost: {cell['kinds']}"] if cell["lost"] else []
                said += cell["notes"]
            if said:
                yield f"- {name}, {column}: {'; '.join(said)}"
