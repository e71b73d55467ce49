"""Ask our server, our adapter and the others: ``python -m bench.compared``.

``--write`` saves what they did as docs/benchmarks/compared.json, and makes the page anew. Packages
are taken from this interpreter, from those of the bench (.venv-bench), and from ``--python``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.compared import asgi_probes, rows, tables, wsgi_probes
from bench.compared.marks import PLACE, Marks
from bench.compared.outcome import Outcome
from bench.compared.rows import Row
from bench.peers.environments import DOCUMENTS, ROOT, VENVS
from bench.peers.processes import Failed, Running, free_port, started
from bench.report.document import write
from bridge import __version__

Probe = Callable[[int, Marks], Outcome]
TABLES: dict[str, tuple[dict[str, Row], dict[str, Probe]]] = {
    "WSGI servers": (rows.WSGI_SERVERS, wsgi_probes.PROBES),
    "adapters, under uvicorn": (rows.ADAPTERS, wsgi_probes.OF_ADAPTERS),
    "ASGI servers": (rows.ASGI_SERVERS, asgi_probes.PROBES),
}
SAVED = DOCUMENTS / "compared.json"
#: Most of a probe is waiting, so some servers are asked at a time.
AT_ONCE = 3

#: After these a server may be slow, or still at work for a client that has gone.
HARMFUL: set[Probe] = {
    wsgi_probes.close_is_called,
    wsgi_probes.clients_that_left,
    wsgi_probes.slow_reader,
    wsgi_probes.cut_upload,
    asgi_probes.told_of_leaving,
    asgi_probes.send_fails,
    asgi_probes.slow_app,
}


def main() -> int:
    """Ask, show, and save if that is wanted. Returns the exit code."""
    arguments = _arguments()
    pythons = {python: rows.versions(python) for python in arguments.python}
    report: dict[str, Any] = {
        "scenario": "compared",
        "about": "what servers and adapters do in cases that matter",
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "versions": {"python": sys.version.split()[0], "asgi-bridge": __version__},
        "tables": {},
    }
    if arguments.only and SAVED.exists():
        report["tables"] = json.loads(SAVED.read_text(encoding="utf-8"))["tables"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        asking = [
            (table, name, row, python, pool.submit(asked, row, python, probes))
            for table, (servers, probes) in TABLES.items()
            for name, row in servers.items()
            if not arguments.only or name in arguments.only
            if (python := _python(pythons, row, f"{table}: {name}")) is not None
        ]
        for table, name, row, python, found in asking:
            outcomes = report["tables"].setdefault(table, {})[name] = found.result()
            report["versions"] |= {need: pythons[python][need] for need in row.needs}
            print(f"{table}: {name}", *tables.lines(outcomes), sep="\n    ", flush=True)
    if arguments.write:
        write(report, tables.markdown(report), DOCUMENTS, "compared")
        from bench.report import page

        page.write()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compared", description=__doc__)
    parser.add_argument("--write", action="store_true", help="save, and make the page anew")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only rows of this name; the others stay as saved",
    )
    parser.add_argument("--python", action="append", help="another interpreter with packages")
    arguments = parser.parse_args()
    places = [sys.executable, *sorted(map(str, VENVS.glob("3.*/bin/python")))]
    arguments.python = [*places, *(arguments.python or [])]
    return arguments


def _python(pythons: dict[str, dict[str, str]], row: Row, name: str) -> str | None:
    """The first interpreter that has the packages of a row; None, and a line: none has."""
    for python, versions in pythons.items():
        if all(need in versions for need in row.needs):
            return python
    print(f"{name} is not installed")
    return None


def asked(row: Row, python: str, probes: dict[str, Probe]) -> dict[str, dict[str, Any]]:
    """Each probe's outcome, in their order. Those that may harm a server have one of their own."""
    shared = {what: probe for what, probe in probes.items() if probe not in HARMFUL}
    found = _together(row, python, shared)
    for what, probe in probes.items():
        if probe in HARMFUL:
            found |= _together(row, python, {what: probe})
    return {what: _as_saved(found[what]) for what in probes}


def _together(row: Row, python: str, probes: dict[str, Probe]) -> dict[str, Outcome]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment, marks = {PLACE: folder}, Marks(Path(folder))
        try:
            with started(row.words(python, port), environment, port, ROOT) as running:
                return {what: _found(running, probe, marks) for what, probe in probes.items()}
        except Failed as error:
            return {what: Outcome(False, f"{error}", "-") for what in probes}


def _as_saved(outcome: Outcome) -> dict[str, Any]:
    return {"good": outcome.good, "cell": outcome.cell, "seen": outcome.seen}


def _found(running: Running, probe: Probe, marks: Marks) -> Outcome:
    marks.clear()
    try:
        return probe(running.port, marks)
    except (OSError, TimeoutError) as error:
        return Outcome(False, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
