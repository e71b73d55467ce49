"""The command ``scripts/bench deploys``: options of its own."""

from __future__ import annotations

import argparse
import sys
import time

from bench.deploys import cells, table
from bench.deploys.cells import Cell
from bench.deploys.servers import COLUMNS, ROWS, Row
from bench.machine import cores
from bench.peers.environments import DOCUMENTS, RESULTS, Tools, without_places
from bench.peers.processes import Failed
from bench.peers.servers import Absent
from bench.report import document


def run(only: str, save: bool, rest: list[str], found: Tools) -> int:
    """Measure the rows that `only` names, and print the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench deploys")
    parser.add_argument("--columns", default="", help="columns whose name contains one of these")
    columns = parser.parse_args(rest).columns
    about = cores.describe()
    chosen = {name: ROWS[name] for name in _named(ROWS, only)}
    taken = {
        name: {column: _cell(name, row, column, found) for column in _named(COLUMNS, columns)}
        for name, row in chosen.items()
    }
    full = table.full(taken, about, found.versions)
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    text = table.markdown(full)
    document.write(full, text, RESULTS, f"deploys-{moment}")
    if save:
        document.write(full, text, DOCUMENTS, "deploys")
    print(text, flush=True)
    return 0


def _named(all_names: dict[str, object], words: str) -> list[str]:
    asked = [word.strip() for word in words.split(",") if word.strip()]
    names = [name for name in all_names if not asked or any(word in name for word in asked)]
    if not names:
        raise SystemExit(f"bench: {words} leaves nothing; there are: {', '.join(all_names)}")
    return names


def _cell(name: str, row: Row, column: str, found: Tools) -> Cell | str:
    if not row.can(column):
        return "-"
    try:
        cell = cells.measure(row, column, found)
    except (Absent, Failed) as error:
        return without_places(str(error))
    print(f"{name}, {column}: {cell}; {cell.kinds}", file=sys.stderr, flush=True)
    for line in cell.shown:
        print(f"    {line}", file=sys.stderr, flush=True)
    return cell
