"""A report as a bar chart; needs matplotlib.

``python -m bench.report.chart REPORT.json CHART.png``
"""

from __future__ import annotations

import json
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
    figure = Figure(figsize=(9, 1.4 + 0.34 * len(rows)), layout="constrained")
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
    title = textwrap.fill(f"{report['scenario']}: {report['about']}", 80)
    figure.suptitle(title, x=0.01, horizontalalignment="left")
    FigureCanvasAgg(figure).print_figure(target, dpi=120)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
