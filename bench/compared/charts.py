"""The charts of the page of comparison, each from a saved result of the bench."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.figures import known
from bench.peers.environments import DOCUMENTS
from bench.report.bars import Bar, bar_of, drawn, is_ours

#: Rows of several charts, and how they are called there.
_WEB = {
    "bridge": "asgi-bridge",
    "uvicorn": "uvicorn",
    "granian": "granian",
    "gunicorn asgi": "gunicorn, asgi",
    "hypercorn": "hypercorn",
    "peregrine": "peregrine",
    "weft": "weft",
    "fastpysgi": "FastPySGI",
}
_WSGI = {
    "bridge thread": "asgi-bridge, 8 threads",
    "bridge greenlet": "asgi-bridge, greenlets",
    "granian wsgi 8": "granian, 8 threads",
    "peregrine wsgi 1": "peregrine, 1 thread",
    "peregrine wsgi 8": "peregrine, 8 threads",
    "weft wsgi inline": "weft, no threads",
    "weft wsgi 8": "weft, 8 threads",
    "fastpysgi wsgi": "FastPySGI, no threads",
    "waitress": "waitress",
    "gunicorn gthread": "gunicorn gthread",
    "uvicorn wsgi": "uvicorn's own",
    "uvicorn + a2wsgi": "uvicorn + a2wsgi",
    "uvicorn + WsgiToAsgi": "uvicorn + WsgiToAsgi",
}
_FRAMEWORKS = {
    "flask: bridge thread": "Flask: asgi-bridge",
    "flask: granian wsgi 8": "Flask: granian",
    "flask: peregrine wsgi 8": "Flask: peregrine",
    "flask: gunicorn gthread": "Flask: gunicorn",
    "django: bridge thread": "Django: asgi-bridge",
    "django: granian wsgi 8": "Django: granian",
    "django: peregrine wsgi 1": "Django: peregrine",
    "django: gunicorn gthread": "Django: gunicorn",
    "starlette: bridge": "Starlette: asgi-bridge",
    "starlette: granian": "Starlette: granian",
    "starlette: peregrine": "Starlette: peregrine",
    "starlette: weft": "Starlette: weft",
    "starlette: uvicorn": "Starlette: uvicorn",
}
_WAITING = {
    "bridge thread 64": "asgi-bridge, 64 threads",
    "bridge greenlet, patch": "asgi-bridge, greenlets",
    "granian wsgi 64": "granian, 64 threads",
    "waitress 64": "waitress, 64 threads",
    "gunicorn gthread 64": "gunicorn, 64 threads",
    "gunicorn gevent": "gunicorn gevent",
}
_SOCKETS = {
    "bridge": "asgi-bridge",
    "uvicorn websockets-sansio": "uvicorn, its best",
    "gunicorn asgi": "gunicorn, asgi",
    "granian": "granian",
    "hypercorn": "hypercorn",
}
_HOSTS = {
    f"{host}: {row}": f"{short}: {label}"
    for host, short in (("waitress", "waitress"), ("gunicorn gthread", "gthread"))
    for row, label in (
        ("WSGI app", "a WSGI app"),
        ("AsgiToWsgi", "AsgiToWsgi"),
        ("a2wsgi", "a2wsgi"),
    )
}


@dataclass(frozen=True)
class Chart:
    """Rows of a saved result, by one figure; `taken` is the command that measures it."""

    title: str
    unit: str
    result: str
    figure: str
    rows: dict[str, str]
    taken: str
    most_first: bool = False
    scale: float = 1.0

    def bars(self) -> list[Bar]:
        """The best first; rows of one framework or host, which stands before a colon, together."""
        figures = _saved(self.result).get("figures", {})
        bars = []
        for row, label in self.rows.items():
            values = [v * self.scale for v in known(figures.get(row, {}).get(self.figure, []))]
            if values:
                bars.append(bar_of(label, values))
        groups = list(dict.fromkeys(map(_group, self.rows.values())))
        sign = -1 if self.most_first else 1
        return sorted(bars, key=lambda bar: (groups.index(_group(bar.label)), sign * bar.value))


@dataclass(frozen=True)
class Lost(Chart):
    """Requests of 100,000 that failed, in one column of the deploys."""

    def bars(self) -> list[Bar]:
        cells = _saved(self.result).get("cells", {})
        bars = []
        for row, label in self.rows.items():
            cell = cells.get(row, {}).get(self.figure)
            if cell:
                value = 100_000 * cell["lost"] / cell["total"]
                shown = f"{value:,.0f}" if value else "none"
                bars.append(Bar(label, value, value, value, shown, is_ours(label)))
        return sorted(bars, key=lambda bar: bar.value)


_CPU = "CPU microseconds of a request; less is better"
_BROWSER = "scripts/bench browser --python debian"
CHARTS: dict[str, Chart] = {
    "deploys": Lost(
        "Requests lost in five reloads under load",
        "of 100,000; less is better",
        "deploys",
        "HUP x 5",
        {
            "bridge": "asgi-bridge",
            "gunicorn, our worker": "gunicorn, BridgeWorker",
            "gunicorn gthread": "gunicorn gthread",
            "gunicorn asgi": "gunicorn, asgi",
            "uvicorn": "uvicorn",
            "granian": "granian",
            "hypercorn": "hypercorn",
        },
        "scripts/bench deploys",
    ),
    "wsgi": Chart("A WSGI app", _CPU, "browser-wsgi-debian", "cpu_us", _WSGI, _BROWSER),
    "asgi": Chart("An ASGI app", _CPU, "browser-asgi-debian", "cpu_us", _WEB, _BROWSER),
    "frameworks": Chart(
        "Frameworks", _CPU, "browser-frameworks-debian", "cpu_us", _FRAMEWORKS, _BROWSER
    ),
    "waiting": Chart(
        "Each request waits 10 ms for another server",
        "requests a second on one core; more is better",
        "waiting-http-debian",
        "rate",
        _WAITING,
        "scripts/bench waiting --python debian",
        most_first=True,
    ),
    "websocket": Chart(
        "WebSocket, an echo",
        "CPU microseconds of a message; less is better",
        "websocket",
        "cpu_us",
        _SOCKETS,
        "scripts/bench websocket",
    ),
    "idle": Chart(
        "Memory of an idle connection",
        "kB; less is better",
        "idle",
        "connection_bytes",
        {row: label for row, label in _WEB.items() if row in ("bridge", "uvicorn", "granian")}
        | {"hypercorn": "hypercorn"},
        "scripts/bench idle",
        scale=0.001,
    ),
    "hosts": Chart(
        "An ASGI app on a WSGI host",
        _CPU,
        "asgi-on-wsgi-hosts",
        "cpu_us",
        _HOSTS,
        "scripts/bench asgi-on-wsgi-hosts",
    ),
}


def pictures() -> dict[Path, str]:
    """Each chart of which there is a result, and where it is kept."""
    return {_place(name): _picture(chart) for name, chart in CHARTS.items() if chart.bars()}


def part(name: str) -> Iterator[str]:
    """A chart as the page shows it, and how it was taken."""
    chart = CHARTS[name]
    if not chart.bars():
        yield "No result is saved yet."
        return
    best = ", ".join(f"{bar.label} {bar.shown}" for bar in chart.bars())
    yield f"![{chart.title}. {chart.unit}: {best}](../benchmarks/{_place(name).name})"
    date = _saved(chart.result)["date"].split()[0]
    yield (
        f"`{chart.taken}`, {date}: [{chart.result}](../benchmarks/{chart.result}.md) has all rows,"
        " versions and the machine."
    )


def _picture(chart: Chart) -> str:
    return drawn(chart.title, chart.unit, chart.bars())


def _place(name: str) -> Path:
    return DOCUMENTS / f"compared-{name}.svg"


def _saved(result: str) -> dict[str, Any]:
    path = DOCUMENTS / f"{result}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _group(label: str) -> str:
    return label.rpartition(": ")[0]
