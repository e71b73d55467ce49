"""Bars that one reads at a glance: an SVG for light and dark pages, and for phones.

Written by hand, so that the same figures give the same bytes, and a check can compare them.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABELS, VALUES, ROW, HEAD = 440, 208, 60, 26, 64
_OURS = ("asgi-bridge", "BridgeWorker", "ToAsgi", "ToWsgi", "mounted")
_STYLE = """
text{font:14px system-ui,-apple-system,"Segoe UI",sans-serif;fill:#24292f}
.card{fill:#fff;stroke:#d8dee4}.title{font-weight:600;font-size:16px}.unit{fill:#57606a}
.bar{fill:#b3bac2}.ours .bar{fill:#1f7a65}.ours text{font-weight:600}
.range{stroke:#24292f;opacity:.55}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.card{fill:#161b22;stroke:#30363d}.unit{fill:#9ba5b0}
.bar{fill:#5d6670}.ours .bar{fill:#3fb595}.range{stroke:#e6edf3}}
"""


@dataclass(frozen=True)
class Bar:
    """One row: the value, and the least and the greatest that were seen."""

    label: str
    value: float
    least: float
    greatest: float
    shown: str
    ours: bool


def bar_of(label: str, values: list[float]) -> Bar:
    """The row of what was measured."""
    middle = statistics.median(values)
    shown = f"{middle:.1f}" if middle < 100 else f"{middle:,.0f}"
    return Bar(label, middle, min(values), max(values), shown, is_ours(label))


def is_ours(label: str) -> bool:
    """Whether a row is of this project."""
    return any(word in label for word in _OURS)


def drawn(title: str, unit: str, bars: list[Bar]) -> str:
    """The picture, as text."""
    height = HEAD + ROW * len(bars) + 10
    left = max([LABELS, *(14 + 8 * len(bar.label) for bar in bars)])
    room = WIDTH - left - VALUES
    most = max((bar.greatest for bar in bars), default=0) or 1
    rows = "".join(_row(bar, left, HEAD + ROW * at, room / most) for at, bar in enumerate(bars))
    said = "; ".join(f"{bar.label}: {bar.shown}" for bar in bars)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
        f' viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(f'{unit}. {said}')}</desc>\n"
        f"<style>{_STYLE}</style>\n"
        f'<rect class="card" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>\n'
        f'<text class="title" x="12" y="25">{escape(title)}</text>\n'
        f'<text class="unit" x="12" y="47">{escape(unit)}</text>\n{rows}</svg>\n'
    )


def _row(bar: Bar, left: int, top: int, scale: float) -> str:
    middle, length = top + ROW // 2, bar.value * scale
    first, last = (left + each * scale for each in (bar.least, bar.greatest))
    kind = ' class="ours"' if bar.ours else ""
    return (
        f'<g{kind}><text x="{left - 8}" y="{middle + 5}" text-anchor="end">'
        f"{escape(bar.label)}</text>"
        f'<rect class="bar" x="{left}" y="{top + 4}" width="{length:.1f}" height="{ROW - 8}"'
        f' rx="2"/>'
        f'<path class="range" d="M{first:.1f} {middle}H{last:.1f}"/>'
        f'<text x="{max(last, left + length) + 6:.1f}" y="{middle + 5}">'
        f"{escape(bar.shown)}</text></g>\n"
    )
