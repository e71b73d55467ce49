"""The tables of the page of comparison, from what the probes saw last."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bench.peers.environments import DOCUMENTS
from bench.report.document import aligned

MARKS = {True: "✓", False: "✗"}


def part(table: str) -> Iterator[str]:
    """A table with a column for each server: a mark, and the figure if there is one."""
    path = DOCUMENTS / "compared.json"
    report: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    found = report.get("tables", {}).get(table, {})
    if not found:
        yield "No result is saved yet."
        return
    probes = next(iter(found.values()))
    rows = [["", *found]]
    for what in probes:
        rows.append([what, *(_cell(outcomes.get(what)) for outcomes in found.values())])
    yield aligned(rows)
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    yield f"{report['date'].split()[0]}: {versions}."


def _cell(outcome: dict[str, Any] | None) -> str:
    if outcome is None or outcome["cell"] == "-":
        return "-"
    mark = MARKS[outcome["good"]]
    return mark if outcome["cell"] in ("yes", "no") else f"{mark} {outcome['cell']}"


def lines(outcomes: dict[str, dict[str, Any]]) -> list[str]:
    """What each probe of a server saw."""
    return [f"{each['cell']:10} {what} {each['seen']}".rstrip() for what, each in outcomes.items()]


def markdown(report: dict[str, Any]) -> str:
    """The whole report for people: each server, with what was seen."""
    parts = [f"# {report['scenario']}: {report['about']}", f"{report['date']}."]
    for table, found in report["tables"].items():
        for name, outcomes in found.items():
            parts.append(f"## {table}: {name}")
            parts.append("\n".join(f"- {line}" for line in lines(outcomes)))
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return "\n\n".join([*parts, f"Versions: {versions}."]) + "\n"
