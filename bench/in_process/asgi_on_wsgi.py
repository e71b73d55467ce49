"""What `AsgiToWsgi` costs: ``scripts/bench asgi-on-wsgi``.

First in process, without a server, beside a2wsgi's adapter: an app is called as a host would call
it, by one thread and by eight, on one core, and by one thread with both cores to itself: where the
caller and the loop run on two idle cores, each request pays for waking both. Then under two hosts,
beside a WSGI app that says the same: what the adapter adds to each request, and its share.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.load.requests import Request
from bench.machine import cores
from bench.machine.cores import Cores, pinned
from bench.measure import rounds, samples
from bench.measure.figures import Column, Figures, known
from bench.measure.samples import Row, Sample, Settings
from bench.measure.scenarios import BROWSER, DIFFERENT, Scenario
from bench.peers import environments
from bench.peers.processes import Failed
from bench.report import document, page
from bench.report.targets import TARGETS
from bench.report.verdicts import Target

PLAIN, HUNDRED = "bench.apps.plain:asgi", "bench.apps.hundred:asgi"
OURS, THEIRS = "bench.apps.wrapped:bridge_wsgi", "bench.apps.wrapped:a2wsgi_wsgi"
HOSTS = ("gunicorn gthread", "waitress")

#: name of the work -> the ASGI app, by how many threads it is called, and on how many cores.
WORK = {
    "plain": (PLAIN, 1, 1),
    "plain, 2 cores": (PLAIN, 1, 2),
    "plain, 8 threads": (PLAIN, 8, 1),
    "100 pieces": (HUNDRED, 1, 1),
    "100 pieces, 8 threads": (HUNDRED, 8, 1),
}
NAME = "asgi-on-wsgi"
COLUMNS = (
    Column("cpu_us", "CPU us/request", 1),
    Column("rate", "requests/s"),
    Column("others_busy", "others %", 0, 100),
)


def in_process(row: Row, request: Request, settings: Settings) -> Sample:
    """The quietest of up to three samples, taken until others leave the machine alone."""
    taken: list[Sample] = []
    while len(taken) <= samples.RETAKES and all(_others(each) > samples.QUIET for each in taken):
        taken.append(_once(row, settings))
    return min(taken, key=_others)


def _others(sample: Sample) -> float:
    return sample.figures["others_busy"] or 0.0


def _once(row: Row, settings: Settings) -> Sample:
    """One sample in a new process; `row.server` tells the numbers of calling threads and cores."""
    threads, count = row.server.split()
    command = [settings.tools.python, "-m", "bench.in_process.calls"]
    command += [row.app, str(settings.seconds), threads]
    if count == "1":
        command = [*pinned(settings.cores.server), *command]
    done = subprocess.run(
        command,
        env=os.environ | {"BENCH_APP": row.inner},
        cwd=environments.ROOT,
        capture_output=True,
        text=True,
        timeout=60 + settings.seconds,
    )
    if done.returncode:
        raise Failed(done.stderr.strip()[-200:] or f"ended with {done.returncode}")
    return Sample(json.loads(done.stdout))


ADAPTERS = Scenario(
    f"an ASGI app called as a WSGI app, in process, {DIFFERENT}",
    tuple(
        Row(f"{work}: {name}", f"{threads} {cores}", adapter, app)
        for work, (app, threads, cores) in WORK.items()
        for name, adapter in (("AsgiToWsgi", OURS), ("a2wsgi", THEIRS))
    ),
    measure=in_process,
    columns=COLUMNS,
)
UNDER_HOSTS = Scenario(
    f"Hello, world! under WSGI hosts, behind the adapters and without, {DIFFERENT}",
    tuple(
        row
        for host in HOSTS
        for row in (
            Row(f"{host}: WSGI app", host, "bench.apps.plain:wsgi"),
            Row(f"{host}: AsgiToWsgi", host, OURS, PLAIN),
            Row(f"{host}: a2wsgi", host, THEIRS, PLAIN),
        )
    ),
    request=BROWSER,
    measure=samples.http_load,
)


def main() -> int:
    options = _parser().parse_args()
    about = cores.describe()
    with tempfile.TemporaryDirectory() as temporary:
        found = environments.prepare(sys.executable, Path(temporary), options.label)
        settings = Settings(found, options.cores, options.seconds)
        print(_measure(ADAPTERS, settings, options, about, NAME))
        if not options.in_process:
            cores.prepare(options.cores)
            print(_measure(UNDER_HOSTS, settings, options, about, f"{NAME}-hosts"))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench asgi-on-wsgi", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, help="interleaved rounds (5)")
    add("--seconds", type=float, default=2.0, help="load on each row in each round (2)")
    add("--cores", type=Cores.parse, default=Cores(0, 1), help="SERVER,LOAD for the hosts (0,1)")
    add("--label", default="", help="tells this Python from the usual one")
    add("--in-process", action="store_true", help="leave the hosts out")
    add("--save", action="store_true", help="also write docs/benchmarks/asgi-on-wsgi*.{json,md}")
    return parser


def _measure(
    scenario: Scenario,
    settings: Settings,
    options: argparse.Namespace,
    about: dict[str, object],
    name: str,
) -> str:
    name = "-".join(filter(None, (name, options.label)))
    result = rounds.run(scenario, list(scenario.rows), settings, options.rounds)
    targets = _targets(scenario)
    full = document.full(name, scenario, options.rounds, settings, about, result, targets)
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    document.save(full, environments.RESULTS, f"{name}-{moment}")
    if options.save:
        document.save(full, environments.DOCUMENTS, name)
        page.write()
    return "\n".join([document.markdown(full), *shares(result.figures)])


def _targets(scenario: Scenario) -> list[Target]:
    names = {row.name for row in scenario.rows}
    return [target for target in TARGETS[NAME] if target.rows <= names]


def shares(figures: Figures) -> list[str]:
    """What each adapter adds to a request under each host, by CPU time, in words."""
    lines = []
    for host in HOSTS:
        bare = known(figures.get(f"{host}: WSGI app", {}).get("cpu_us", []))
        for adapter in ("AsgiToWsgi", "a2wsgi"):
            whole = known(figures.get(f"{host}: {adapter}", {}).get("cpu_us", []))
            if bare and whole:
                added = statistics.median(whole) - statistics.median(bare)
                share = added / statistics.median(whole)
                lines.append(
                    f"{host}: {adapter} adds {added:.0f} us, {share:.0%} of CPU per request"
                )
    return lines


if __name__ == "__main__":
    sys.exit(main())
