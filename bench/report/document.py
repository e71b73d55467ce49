"""A result as JSON, and as Markdown, which the terminal shows, too."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.measure.figures import Column, Figures, known
from bench.measure.rounds import Result
from bench.measure.samples import Settings
from bench.measure.scenarios import Scenario
from bench.report.verdicts import Target, Verdict

Table = list[list[str]]
REACHED = {True: "yes", False: "NO", None: "-"}
#: The shares of a core above which it counts as full, and as disturbed.
_FULL = 0.9
_ROUGH = 0.1
#: How many of a scenario's first columns also show the least and the greatest value.
_WITH_RANGE = 2


def full(
    name: str,
    scenario: Scenario,
    rounds: int,
    settings: Settings,
    about: dict[str, object],
    result: Result,
    targets: Iterable[Target],
) -> dict[str, Any]:
    """The whole report, as it is saved; `about` describes the machine."""
    return {
        "scenario": name,
        "about": scenario.about,
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": about,
        "versions": settings.tools.versions,
        "settings": {"rounds": rounds, "seconds": settings.seconds},
        "columns": [dataclasses.asdict(column) for column in scenario.columns],
        **dataclasses.asdict(result),
        "verdicts": [
            dataclasses.asdict(verdict)
            for target in targets
            for verdict in target.verdicts(result.figures)
        ],
    }


def markdown(report: dict[str, Any]) -> str:
    """The whole report for people."""
    columns = [Column(**column) for column in report["columns"]]
    settings, machine = report["settings"], report["machine"]
    parts = [
        f"# {report['scenario']}: {report['about']}",
        f"{report['date']}, {settings['rounds']} interleaved rounds of {settings['seconds']:g} s; "
        f"{machine['processor']}, one core for the server and one for the load, "
        f"Linux {machine['kernel']}, load average before the run "
        f"{machine['load_average_before']}. Median (least to greatest). "
        "Only ratios within one table count.",
        _figures(report["figures"], columns),
    ]
    if report["verdicts"]:
        parts.append(_verdicts([Verdict(**verdict) for verdict in report["verdicts"]]))
    parts += _limits(report["figures"])
    parts += _notes("Absent", {name: [why] for name, why in report["absent"].items()})
    parts += _notes("Errors under load", report["errors"])
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    parts.append(f"Versions: {versions}.")
    return "\n\n".join(parts) + "\n"


def ordered(figures: Figures, figure: str) -> list[str]:
    """Row names, best first; rows without this figure last."""

    def key(name: str) -> tuple[bool, float]:
        values = known(figures[name].get(figure, []))
        return not values, statistics.median(values) if values else 0.0

    return sorted(figures, key=key)


def save(report: dict[str, Any], folder: Path, name: str) -> Path:
    """Write NAME.json and NAME.md into `folder`; the place of the JSON."""
    return write(report, markdown(report), folder, name)


def write(report: dict[str, Any], text: str, folder: Path, name: str) -> Path:
    """The same with another `text` than that of a scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    return path


def _figures(figures: Figures, columns: list[Column]) -> str:
    if not figures:
        return "No row could be measured."
    table = [["", *(column.label for column in columns)]]
    for name in ordered(figures, columns[0].figure):
        cells = [
            _cell(figures[name].get(column.figure, []), column, place < _WITH_RANGE)
            for place, column in enumerate(columns)
        ]
        table.append([name, *cells])
    return aligned(table)


def _cell(values: list[float | None], column: Column, with_range: bool) -> str:
    scaled = [value * column.scale for value in known(values)]
    if not scaled:
        return "-"
    show = f"{{:,.{column.digits}f}}".format
    middle = show(statistics.median(scaled))
    if not with_range or len(scaled) == 1:
        return middle
    return f"{middle} ({show(min(scaled))} to {show(max(scaled))})"


def _verdicts(verdicts: list[Verdict]) -> str:
    rows = [[verdict.claim, verdict.measured, REACHED[verdict.reached]] for verdict in verdicts]
    return aligned([["target", "measured", "reached"], *rows])


def _limits(figures: Figures) -> list[str]:
    """Say where requests/s is not the server's own limit, and where others disturbed the run."""
    load_bound = [name for name, values in figures.items() if _above(values, "load_busy", _FULL)]
    rough = [name for name, values in figures.items() if _above(values, "others_busy", _ROUGH)]
    parts = []
    if load_bound:
        parts.append(f"The load's core was full, so requests/s say less: {', '.join(load_bound)}.")
    if rough:
        parts.append(f"Others used the cores, so the figures are rough: {', '.join(rough)}.")
    return parts


def _above(values: dict[str, list[float | None]], figure: str, limit: float) -> bool:
    shares = known(values.get(figure, []))
    return bool(shares) and statistics.median(shares) > limit


def _notes(title: str, notes: dict[str, list[str]]) -> list[str]:
    lines = [f"- {name}: {'; '.join(dict.fromkeys(said))}" for name, said in notes.items()]
    return ["\n".join([f"{title}:", "", *lines])] if lines else []


def aligned(rows: Table) -> str:
    """A Markdown table whose columns line up on a terminal as well."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]

    def line(cells: list[str]) -> str:
        first, *others = zip(cells, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        return f"| {' | '.join(padded)} |"

    head, *body = rows
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(rule), *(line(row) for row in body)])
