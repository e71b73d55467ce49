"""The chart of the README, for readers who have never seen a report; needs matplotlib.

``python -m bench.report.chart REPORT.json`` draws it beside the report, if `GLANCES` has one of
that. Pages of the site have charts of their own (`bars.py`).
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import textwrap
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.measure.figures import known
from bench.report.document import ordered

OURS = ("bridge", "WsgiToAsgi", "AsgiToWsgi", "mounted")
COLOURS = {True: "#1f6f5c", False: "#b8bcc2"}
#: Report -> the title of a chart of it for people who do not know the table, and its file.
GLANCES = {
    "browser-wsgi-debian": ("A small WSGI app: CPU time of the server for a request", "glance.png"),
}
#: The height of a row, in inches.
ROW = 0.25
#: How names of rows are spelled there.
SPELLINGS = (
    (r"^bridge thread", "asgi-bridge"),
    (r"^bridge (\w+)", r"asgi-bridge, \1"),
    (r"^uvicorn wsgi$", "uvicorn --interface=wsgi"),
    (r"^meinheld$", "meinheld, on Python 3.9"),
    (r" wsgi 1$", ", 1 thread"),
    (r" wsgi (\d+)$", r", \1 threads"),
    (r" wsgi inline$", ", inline"),
    (r" wsgi$", ""),
    (r" gthread$", ", gthread"),
)


def glance(report: dict) -> dict:
    """The same report, with a title and names that are spelled out."""
    figures = {spelled(name): figure for name, figure in report["figures"].items()}
    return {**report, "title": GLANCES[report["scenario"]][0], "figures": figures}


def spelled(name: str) -> str:
    for pattern, instead in SPELLINGS:
        name = re.sub(pattern, instead, name)
    return name


def draw(report: dict, target: Path) -> None:
    """Horizontal bars of the first column: median, with least and greatest as whiskers."""
    column = report["columns"][0]
    rows = [
        (
            name,
            [value * column["scale"] for value in known(report["figures"][name][column["figure"]])],
        )
        for name in reversed(ordered(report["figures"], column["figure"]))
    ]
    rows = [(name, values) for name, values in rows if values]
    middles = [statistics.median(values) for _, values in rows]
    below = [middle - min(values) for middle, (_, values) in zip(middles, rows, strict=True)]
    above = [max(values) - middle for middle, (_, values) in zip(middles, rows, strict=True)]
    figure = Figure(figsize=(9, 1.4 + ROW * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    bars = axes.barh(
        [name for name, _ in rows],
        middles,
        xerr=(below, above),
        color=[COLOURS[any(word in name for word in OURS)] for name, _ in rows],
        error_kw={"ecolor": "#444444", "elinewidth": 1, "capsize": 2},
    )
    labels = [f"{middle:,.{column['digits']}f}" for middle in middles]
    axes.bar_label(bars, labels, padding=6, fontsize=9)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(f"{column['label']} (median, least to greatest; less is better)")
    # From the left edge of the picture, in as many lines as it takes: nothing is cut off.
    figure.suptitle(textwrap.fill(report["title"], 80), x=0.01, horizontalalignment="left")
    FigureCanvasAgg(figure).print_figure(target, dpi=120)


if __name__ == "__main__":
    saved = Path(sys.argv[1])
    report = json.loads(saved.read_text())
    if report["scenario"] in GLANCES:
        draw(glance(report), saved.with_name(GLANCES[report["scenario"]][1]))
