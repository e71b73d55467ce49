"""The figures in the pages of docs/explanation, from the saved results.

``python -m bench.report.page --write`` fills what stands between the markers of the pages. Without
``--write``, this exits with 1 if a page does not show what docs/benchmarks has. Verdicts are
computed anew, so that they are those of today's targets. A result that is not saved is a column of
dashes.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

from bench.compared import charts, tables
from bench.measure.figures import Figures, known
from bench.measure.scenarios import SCENARIOS
from bench.peers.environments import DOCUMENTS, ROOT
from bench.report.bars import Bar, bar_of, drawn
from bench.report.document import REACHED, aligned
from bench.report.targets import TARGETS
from bench.report.verdicts import Verdict

PAGES = tuple(
    ROOT / "docs" / "explanation" / name
    for name in (
        "performance.md",
        "where-it-came-from.md",
        "one-machine-and-more.md",
        "compared.md",
    )
)
MARKED = re.compile(r"(<!-- figures: ([a-z-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
#: A chart of a whole result: its title, and the result.
_CHART = re.compile(r"!\[CPU time: (.*)\]\(\.\./benchmarks/([\w-]+)\.svg\)")
_UNIT = "CPU microseconds of a request; less is better"
#: The builds of Python: how the result of a scenario is named, and the column.
BUILDS = {"{}": "plain build", "{}-debian": "Debian's build"}
DIFFER, SAME = "heads that differ", "the same head"

#: What a row is called on the page, if its own name says too little.
LABELS = {
    "bridge": "**asgi-bridge**",
    "bridge, no C": "**asgi-bridge**, without the accelerator",
    "bridge thread, no C": "**asgi-bridge, thread runner**, without the accelerator",
    "bridge thread": "**asgi-bridge, thread runner**",
    "bridge greenlet": "**asgi-bridge, greenlet runner**",
    "bridge greenlet, patch": "**asgi-bridge, greenlet runner** with `--patch`",
    "bridge thread 64": "**asgi-bridge, 64 threads**",
    "bridge thread 512": "**asgi-bridge, 512 threads**",
    "bridge inline": "**asgi-bridge, inline runner**",
    "floor": "floor: uvloop, fixed bytes, no parsing",
    "go": "Go net/http",
    "node": "Node",
    "uvicorn": "uvicorn, httptools and uvloop",
    "uvicorn wsgi": "uvicorn, its own WSGI",
    "granian": "granian (Rust)",
    "granian wsgi 1": "granian (Rust), 1 thread",
    "granian wsgi 8": "granian (Rust), 8 threads",
    "granian wsgi 64": "granian (Rust), 64 threads",
    "granian wsgi 512": "granian (Rust), 512 threads",
    "gunicorn gthread 64": "gunicorn gthread, 64 threads",
    "gunicorn gthread 512": "gunicorn gthread, 512 threads",
    "gunicorn gevent_pywsgi": "gunicorn gevent, with gevent's own server",
    "waitress 64": "waitress, 64 threads",
    "waitress 512": "waitress, 512 threads",
    "peregrine": "peregrine (Swift)",
    "peregrine wsgi 1": "peregrine (Swift), 1 thread",
    "peregrine wsgi 8": "peregrine (Swift), 8 threads",
    "weft": "weft (Rust)",
    "weft wsgi inline": "weft (Rust), inline",
    "weft wsgi 8": "weft (Rust), 8 threads",
    "fastpysgi": "FastPySGI (C)",
    "fastpysgi wsgi": "FastPySGI (C), inline",
    "gunicorn asgi": "gunicorn, ASGI worker",
    "meinheld": "meinheld (C), on CPython 3.9",
    "bridge asgi 3": "**asgi-bridge**, ASGI 3",
    "bridge asgi 1 inline": "**asgi-bridge**, ASGI 1, called on the loop",
    "bridge asgi 1 thread": "**asgi-bridge**, ASGI 1, in threads",
    "bridge wsgi inline": "**asgi-bridge**, WSGI, called on the loop",
    "bridge wsgi thread": "**asgi-bridge**, WSGI, in threads",
    "node, equal fields": "Node",
    "uvicorn + WsgiToAsgi": "uvicorn + `WsgiToAsgi`",
}


def main() -> int:
    """Check the pages, or write them. Returns the exit code."""
    if "--write" in sys.argv[1:]:
        write()
        return 0
    stale = [page for page in PAGES if filled(text := page.read_text(encoding="utf-8")) != text]
    stale += [path for path, text in pictures().items() if _kept(path) != text]
    for page in stale:
        print(f"{page.relative_to(ROOT)} does not show docs/benchmarks: scripts/fix writes it")
    return 1 if stale else 0


def write() -> None:
    """Fill the pages with the results that are saved now, and draw their charts."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    for path, text in pictures().items():
        path.write_text(text, encoding="utf-8")


def pictures() -> dict[Path, str]:
    """The charts that the pages show, and where they are kept."""
    shown = {}
    for page in PAGES:
        for title, name in _CHART.findall(filled(page.read_text(encoding="utf-8"))):
            shown[DOCUMENTS / f"{name}.svg"] = drawn(
                title[:1].upper() + title[1:], _UNIT, _bars(name)
            )
    return {**shown, **charts.pictures()}


def _kept(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def filled(text: str) -> str:
    """`text` with today's figures between each pair of markers. Raises ``KeyError``: no such."""
    return MARKED.sub(lambda found: f"{found[1]}{_part(found[2])}\n{found[3]}", text)


def _part(name: str) -> str:
    return "\n\n".join(PARTS[name]())


# ------------------------------------------------------------- results


@cache
def _result(name: str) -> Figures:
    """The figures of a saved result, of rows that its scenario still has; none if not saved."""
    path = DOCUMENTS / f"{name}.json"
    if not path.exists():
        return {}
    figures = json.loads(path.read_text(encoding="utf-8"))["figures"]
    scenario = SCENARIOS.get(name.removesuffix("-debian"))
    rows = {row.name for row in scenario.rows} if scenario else figures.keys()
    return {row: values for row, values in figures.items() if row in rows}


def _median(name: str, row: str, figure: str = "cpu_us") -> float | None:
    values = known(_result(name).get(row, {}).get(figure, []))
    return statistics.median(values) if values else None


def _show(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 50 else f"{value:,.0f}"


# ------------------------------------------------------------- tables of servers


def _servers(what: str, columns: dict[str, str]) -> Iterator[str]:
    """A table with a column of CPU time for each result, and a chart for heads that differ."""
    if not any(map(_result, columns.values())):
        yield "No result is saved yet."
        return
    names = {row: None for name in columns.values() for row in _result(name)}
    values = {row: [_median(name, row) for name in columns.values()] for row in names}
    rows = sorted(values, key=lambda row: next(value for value in values[row] if value is not None))
    head = [f"{what}, CPU us/request", *columns]
    yield aligned([head, *([_label(row), *map(_show, values[row])] for row in rows)])
    shown = [each for each in columns.items() if each[1].startswith("browser") and _result(each[1])]
    for column, name in shown[-1:]:
        yield from _chart(name, f"{what.partition(',')[0]}: {column}")


def _label(row: str) -> str:
    """`row` as people call it; what it is a row of may stand before a colon."""
    before, colon, server = row.rpartition(": ")
    label = LABELS.get(server, server)
    if "mounted" in row:
        label = f"**{label}**"
    return f"{before}{colon}{label}"


def _both_loads(what: str, differ: str, same: str) -> Callable[[], Iterator[str]]:
    columns = {
        f"{load}, {build}": pattern.format(scenario)
        for load, scenario in ((DIFFER, differ), (SAME, same))
        for pattern, build in BUILDS.items()
    }
    return lambda: _servers(what, columns)


def _one_load(what: str, scenario: str) -> Callable[[], Iterator[str]]:
    return lambda: _servers(what, {BUILDS[each]: each.format(scenario) for each in BUILDS})


def _waiting() -> Iterator[str]:
    """Requests that wait: for an HTTP server and for Redis, by CPU time and by rate."""
    for scenario, what in (("waiting-http", "http.client"), ("waiting-redis", "redis-py")):
        for pattern, build in BUILDS.items():
            name = pattern.format(scenario)
            rows = sorted(_result(name), key=lambda row: _median(name, row) or 0)
            if rows:
                title = f"10 ms in {what}, {build}"
                head = [title, "CPU us/request", "requests/s", "p99 ms"]
                yield aligned([head, *(_waiting_row(name, row) for row in rows)])
                yield from _chart(name, title)


def _waiting_row(name: str, row: str) -> list[str]:
    p99 = _median(name, row, "p99_us")
    rest = [_median(name, row), _median(name, row, "rate"), None if p99 is None else p99 / 1e3]
    return [_label(row), *map(_show, rest)]


# ------------------------------------------------------------- bodies

_ASGI = (("bridge",), ("uvicorn",), ("granian",), ("go",), ("floor",))
_WSGI = (
    ("bridge thread",),
    ("uvicorn + a2wsgi",),
    ("granian wsgi 1", "granian wsgi 8"),
    (),
    (),
)
_WEBSOCKET = (
    ("bridge",),
    ("uvicorn websockets", "uvicorn websockets-sansio", "uvicorn wsproto"),
    ("granian",),
    (),
    (),
)
_BODIES = (
    ("POST of 10 kB, echoed", "echo", _ASGI),
    ("the same by threads (WSGI)", "echo", _WSGI),
    ("50 kB in one piece", "large", _ASGI),
    ("the same by threads (WSGI)", "large", _WSGI),
    ("1 MB in sixteen pieces", "stream", _ASGI),
    ("the same by threads (WSGI)", "stream", _WSGI),
    ("WebSocket echo, a message", "websocket", _WEBSOCKET),
)


def _bodies() -> Iterator[str]:
    """Each kind of work with the best row of each server, by CPU time and by rate."""
    names = ["asgi-bridge", "uvicorn, or a2wsgi on it", "granian", "Go", "floor"]
    for figure, unit, best in (("cpu_us", "CPU us", min), ("rate", "a second", max)):
        rows = [[f"bodies and WebSockets, {unit}", *names]]
        for label, scenario, servers in _BODIES:
            cells = [
                [value for row in each if (value := _median(scenario, row, figure)) is not None]
                for each in servers
            ]
            rows.append([label, *(_show(best(cell, default=None)) for cell in cells)])
        yield aligned(rows)


# ------------------------------------------------------------- the table of 2017


def _mail() -> Iterator[str]:
    """Rate, latency with its deviation and CPU time, for each load and build that is saved."""
    for scenario, load in (("mail-differ", DIFFER), ("mail-equal", SAME)):
        for pattern, build in BUILDS.items():
            name = pattern.format(scenario)
            rows = sorted(_result(name), key=lambda row: -(_median(name, row, "rate") or 0))
            if not rows:
                continue
            head = [f"{load}, {build}", "requests/s", "latency ms", "CPU us/request", "of Go"]
            go = _median(name, "go", "rate")
            yield aligned([head, *(_mail_row(name, row, go) for row in rows)])
            yield from _chart(name, f"{load}, {build}")


def _chart(name: str, title: str) -> Iterator[str]:
    if _bars(name):
        yield f"![CPU time: {title}](../benchmarks/{name}.svg)"


def _bars(name: str) -> list[Bar]:
    rows = {row: known(each.get("cpu_us", [])) for row, each in _result(name).items()}
    bars = [bar_of(_spelled(row), values) for row, values in rows.items() if values]
    return sorted(bars, key=lambda bar: bar.value)


def _spelled(row: str) -> str:
    return re.sub(r"\bbridge\b", "asgi-bridge", row)


def _mail_row(name: str, row: str, go: float | None) -> list[str]:
    rate = _median(name, row, "rate")
    mean, deviation = (_median(name, row, each) for each in ("mean_us", "deviation_us"))
    latency = (
        "-" if mean is None or deviation is None else f"{mean / 1e3:.2f} ± {deviation / 1e3:.2f}"
    )
    share = "-" if rate is None or not go else f"{rate / go:.2f}"
    return [_label(row), _show(rate), latency, _show(_median(name, row)), share]


# ------------------------------------------------------------- gateway, Redis and workers


def _channels() -> Iterator[str]:
    """CPU time of all processes, of what the direct way takes, and rate; each load and build."""
    for scenario, load in (("channels-differ", DIFFER), ("channels-equal", SAME)):
        for pattern, build in BUILDS.items():
            name = pattern.format(scenario)
            rows = _result(name)
            if rows:
                head = [f"{load}, {build}", "CPU us/request, all", "of direct", "requests/s"]
                yield aligned([head, *(_channels_row(name, row) for row in rows)])
                yield from _chart(name, f"{load}, {build}")


def _channels_row(name: str, row: str) -> list[str]:
    cpu, direct = _median(name, row), _median(name, f"{row.partition(': ')[0]}: direct")
    times = "-" if cpu is None or not direct else f"{cpu / direct:.1f}"
    return [_label(row), _show(cpu), times, _show(_median(name, row, "rate"))]


# ------------------------------------------------------------- targets


def _missed() -> Iterator[str]:
    """Each target that a saved result does not reach, with what both builds gave."""
    rows = []
    for scenario, each in TARGETS.items():
        results = [_result(pattern.format(scenario)) for pattern in BUILDS]
        for target in each:
            for verdicts in zip(*map(target.verdicts, results), strict=True):
                if any(verdict.reached is False for verdict in verdicts):
                    rows.append([f"{scenario}: {verdicts[0].claim}", *map(_said, verdicts)])
    if rows:
        yield aligned([["target", *BUILDS.values()], *rows])
    else:
        yield "None: all targets are reached on both builds."


def _said(verdict: Verdict) -> str:
    if verdict.reached is None:
        return "-"
    return f"{verdict.measured}: {REACHED[verdict.reached]}"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "asgi": _both_loads("ASGI", "browser-asgi", "asgi"),
    "wsgi": _both_loads("WSGI", "browser-wsgi", "wsgi"),
    "responses": _one_load(f"responses that differ, {DIFFER}", "browser-responses"),
    "frameworks": _one_load(f"frameworks, {DIFFER}", "browser-frameworks"),
    "mounts": _both_loads("mounts", "browser-mounts", "mounts"),
    "waiting": _waiting,
    "bodies": _bodies,
    "missed": _missed,
    "mail": _mail,
    "channels": _channels,
    "compared-wsgi-servers": partial(tables.part, "WSGI servers"),
    "compared-adapters": partial(tables.part, "adapters, under uvicorn"),
    "compared-asgi-servers": partial(tables.part, "ASGI servers"),
    **{f"chart-{name}": partial(charts.part, name) for name in charts.CHARTS},
}

if __name__ == "__main__":
    sys.exit(main())
