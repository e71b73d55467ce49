"""The command: ``scripts/bench SCENARIO``."""

from __future__ import annotations

import argparse
import dataclasses
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.deploys import command as deploys
from bench.machine import cores
from bench.machine.cores import Cores
from bench.measure import rounds
from bench.measure.samples import GIGABYTE, Row, Settings
from bench.measure.scenarios import GROUPS, SCENARIOS, Scenario
from bench.peers import debian, environments
from bench.peers.environments import Tools
from bench.report import document, page
from bench.report.targets import TARGETS
from bench.report.verdicts import Within

RESULTS, DOCUMENTS = environments.RESULTS, environments.DOCUMENTS
#: What may be lost against another checkout (--beside), and the figures that say so.
MOST_LOST = 1.02
LOSSES = {"cpu_us", "connection_bytes", "worker_mb", "upload_cpu", "download_cpu"}
#: A word for --python: Debian's build of CPython, from its packages.
DEBIAN = "debian"
#: A scenario of another kind: in process, a program of its own with its own options.
IN_PROCESS = "asgi-on-wsgi"
#: Another one: what servers lose while they are deployed.
DEPLOYS = "deploys"


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped
    options, rest = _parser().parse_known_args()
    if options.python == DEBIAN:
        options.python = debian.python()
        options.label = options.label or DEBIAN
    if options.scenario == IN_PROCESS:
        return _in_process(options, rest)
    if options.scenario == DEPLOYS:
        with tempfile.TemporaryDirectory() as temporary:
            found = environments.prepare(options.python, Path(temporary), options.label)
        return deploys.run(options.only, options.save, rest, found)
    if rest:
        _parser().error(f"unknown options: {' '.join(rest)}")
    cores.prepare(options.cores)
    with tempfile.TemporaryDirectory() as temporary:
        found = environments.prepare(options.python, Path(temporary), options.label)
        for name, rows in _chosen(options.scenario, options.only).items():
            _run(name, rows, options, found)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure our server and adapters beside their peers, and hold the figures "
        "against the targets.",
        epilog="Scenarios: "
        + "; ".join(f"{name}: {scenario.about}" for name, scenario in SCENARIOS.items())
        + "".join(f"; {name}: {', '.join(each)}" for name, each in GROUPS.items())
        + f"; {IN_PROCESS}: AsgiToWsgi in process, with options of its own"
        + f"; {DEPLOYS}: requests that fail while a server is deployed, with --columns.",
    )
    add = parser.add_argument
    add("scenario", choices=[*GROUPS, *SCENARIOS, IN_PROCESS, DEPLOYS], metavar="SCENARIO")
    add("--rounds", type=int, default=5, help="interleaved rounds (5)")
    add("--seconds", type=float, default=4.0, help="load on each server in each round (4)")
    add("--only", default="", help="rows whose name contains one of these, by commas")
    add(
        "--python",
        default=sys.executable,
        help=f"the CPython to use; {DEBIAN}: that of Debian's packages",
    )
    add("--cores", type=Cores.parse, default=Cores(0, 1), help="SERVER,LOAD (0,1)")
    add("--bytes", type=int, default=GIGABYTE, help="size of a transfer, scenario memory (1 GB)")
    add("--beside", type=Path, help="another checkout: its own rows too, interleaved with ours")
    add(
        "--save",
        action="store_true",
        help="also write docs/benchmarks/SCENARIO.*, and the page",
    )
    add("--label", default="", help="tells this Python from the usual one: SCENARIO-LABEL.md, ...")
    return parser


def _run(name: str, rows: list[Row], options: argparse.Namespace, found: Tools) -> None:
    scenario = SCENARIOS[name]
    settings = Settings(found, options.cores, options.seconds, options.bytes)
    about = cores.describe()
    names = {row.name for row in rows}
    targets = [target for target in TARGETS.get(name, ()) if target.rows <= names]
    if options.beside:
        rows, more = _with_rows_of(options.beside.resolve(), rows, scenario)
        targets += more
    result = rounds.run(scenario, rows, settings, options.rounds)
    title = "-".join(filter(None, (name, options.label)))
    full = document.full(title, scenario, options.rounds, settings, about, result, targets)
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    document.save(full, RESULTS, f"{title}-{moment}")
    if options.save:
        saved = document.save(full, DOCUMENTS, title)
        chart = [found.python, "-m", "bench.report.chart", str(saved)]
        subprocess.run(chart, check=True, cwd=environments.ROOT)
        page.write()
    print(document.markdown(full), flush=True)


def _chosen(asked: str, only: str) -> dict[str, list[Row]]:
    """The rows of the scenario `asked`, or of each in that group; scenarios without one are out."""
    words = [word.strip() for word in only.split(",") if word.strip()]
    rows = {name: SCENARIOS[name].rows for name in GROUPS.get(asked, (asked,))}
    chosen = {
        name: left
        for name, each in rows.items()
        if (left := [row for row in each if not words or any(word in row.name for word in words)])
    }
    if not chosen:
        names = ", ".join(row.name for each in rows.values() for row in each)
        raise SystemExit(f"bench: --only {only} leaves no row; there are: {names}")
    return chosen


def _with_rows_of(
    root: Path, rows: list[Row], scenario: Scenario
) -> tuple[list[Row], list[Within]]:
    """The rows, each of ours followed by that of the checkout `root`; and that we lost nothing."""
    if not (root / "bridge").is_dir():
        raise SystemExit(f"bench: --beside {root} is no checkout: it has no folder bridge")
    accelerator = root / "bridge" / "accelerator"
    if accelerator.is_dir() and not any(accelerator.glob("*.so")):
        print(f"bench: the accelerator of {root} is not compiled: it is left out", file=sys.stderr)
    both: list[Row] = []
    kept: list[Within] = []
    figures = {column.figure for column in scenario.columns} & LOSSES
    for row in rows:
        both.append(row)
        if "bridge" in row.server or "bridge" in row.app:
            other = dataclasses.replace(row, name=f"{row.name}, beside", root=root)
            both.append(other)
            kept += [Within(row.name, figure, MOST_LOST, other.name) for figure in sorted(figures)]
    return both, kept


def _in_process(options: argparse.Namespace, rest: list[str]) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        found = environments.prepare(options.python, Path(temporary), options.label)
    arguments = [
        f"--rounds={options.rounds}",
        f"--seconds={options.seconds}",
        f"--cores={options.cores.server},{options.cores.load}",
        f"--label={options.label}",
        *(["--save"] if options.save else []),
        *rest,
    ]
    command = [found.python, "-m", "bench.in_process.asgi_on_wsgi", *arguments]
    return subprocess.run(command, cwd=environments.ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
