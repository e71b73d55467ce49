"""Run the tests in parallel, say how far they are, and run what failed once more, alone.

A test that fails beside others and passes alone is *flaky*: it is named and counted at the end, and
does not make the run red. What fails twice does. A test that ends its process has failed, too; the
tests that this process had left are run after it. ``python -m tools.suite`` runs everything in
parallel; with arguments it runs what they name, as pytest takes them, in one process and once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

#: Seconds between two lines that say how far the run is.
PACE = 15.0
#: Processes for each core, and at most: the tests wait for servers more than they compute.
#: The variable SUITE_PROCESSES says another number.
PROCESSES_PER_CORE = 3
MOST_PROCESSES = 6

#: When more fail than that, they are not flaky: running them alone would only take long.
MOST_FLAKY = 40
#: Seconds for a test alone and the end of its process: more than any has in `pyproject.toml`.
ALONE = 900.0

#: pytest's exit code when tests have failed, and nothing worse has happened.
FAILED = 1


def main(arguments: list[str]) -> int:
    """Run the tests. Returns pytest's exit code; 0 if all that failed passed alone."""
    pytest = [sys.executable, "-m", "pytest"]
    # The tests start hundreds of processes: each would compile all that it imports anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if arguments:
        return subprocess.call([*pytest, *arguments], stdin=subprocess.DEVNULL)
    processes = min((os.cpu_count() or 1) * PROCESSES_PER_CORE, MOST_PROCESSES)
    processes = int(os.environ.get("SUITE_PROCESSES", processes))
    with TemporaryDirectory(prefix="bridge-suite-") as folder:
        # Whole files go to one process each: what a file starts is started once.
        # A process that crashes ends the run: pytest-xdist can wait for ever for its successor.
        parallel = [*pytest, "-q", "-n", str(processes), "--max-worker-restart=0"]
        parallel += ["--dist", "loadfile", "--no-loadscope-reorder", "-p", "tools.suite"]
        first = _run(parallel, Path(folder) / "first")
        if not first.left:
            return _judge(pytest, first.code, first.failed)
        print(f"\na process crashed: the {len(first.left)} tests not run are run now", flush=True)
        rest = Path(folder) / "rest"
        rest.write_text("\n".join(first.left), encoding="utf-8")
        second = _run([*parallel, f"@{rest}"], Path(folder) / "second")
        if second.left:
            left = len(second.left)
            print(f"\nthe run ended before its end: {left} tests were not run", flush=True)
            return second.code or FAILED
        return _judge(pytest, second.code or FAILED, [*first.failed, *second.failed])


def _judge(pytest: list[str], code: int, failed: list[str]) -> int:
    """Run what has failed once more, each test alone. Returns the exit code of the whole."""
    if code != FAILED or not failed:
        return code
    if len(failed) > MOST_FLAKY:
        print(f"\n{len(failed)} failed: too many to be by chance", flush=True)
        return code
    print(f"\n{len(failed)} failed; each once more, alone:", flush=True)
    red = [test for test in failed if not _passes([*pytest, "-q", test])]
    flaky = [test for test in failed if test not in red]
    print("\n".join(summary(flaky, red)), flush=True)
    return FAILED if red else 0


def summary(flaky: list[str], red: list[str]) -> list[str]:
    """What is said at the end of a run in which tests have failed."""
    return [
        f"{len(flaky)} flaky (failed beside others, passed alone), {len(red)} failed twice",
        *(f"FLAKY {test}" for test in flaky),
        *(f"RED   {test}" for test in red),
    ]


class Run(NamedTuple):
    """pytest's exit code, which tests have failed, and which were not run."""

    code: int
    failed: list[str]
    left: list[str]


def _run(command: list[str], record: Path) -> Run:
    # pytest captures its own output: the plugin says how far it is on a copy of ours.
    output = os.dup(sys.stdout.fileno())
    environment = {
        **os.environ,
        "SUITE_RECORD": str(record),
        "SUITE_OUTPUT": str(output),
    }
    try:
        code = subprocess.call(
            command, stdin=subprocess.DEVNULL, env=environment, pass_fds=[output]
        )
    finally:
        os.close(output)
    if not record.exists():
        return Run(code or FAILED, [], [])
    failed, left = json.loads(record.read_text(encoding="utf-8"))
    return Run(code, failed, left)


def _passes(command: list[str]) -> bool:
    """Whether a test passes in a process of its own, where nothing is left of one that failed."""
    try:
        return subprocess.call(command, stdin=subprocess.DEVNULL, timeout=ALONE) == 0
    except subprocess.TimeoutExpired:  # it has been killed
        return False


# ------------------------------------------------------------- inside pytest


class Progress:
    """The pytest plugin: how far the run is, every `PACE` seconds, and which tests failed."""

    def __init__(self, record: Path, output: int) -> None:
        self._record = record
        self._output = output
        self._begun = time.monotonic()
        self._total = 0
        # In order, each once.
        self._failed: dict[str, None] = {}
        self._left: dict[str, None] = {}
        self._last = ""
        self._over = threading.Event()

    def pytest_sessionstart(self) -> None:
        """Begin to tell the time."""
        threading.Thread(target=self._tell, daemon=True).start()

    def pytest_collection_finish(self, session: Any) -> None:
        """How many tests there are, in a run of one process."""
        self._begin([item.nodeid for item in session.items])

    def pytest_xdist_node_collection_finished(self, ids: list[str]) -> None:
        """How many tests there are, in a run of several processes."""
        self._begin(ids)

    def _begin(self, ids: list[str]) -> None:
        if not self._total:
            self._left = dict.fromkeys(ids)
            self._total = len(ids)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """A test has passed a stage: its setup, itself, or its end."""
        if report.when == "teardown" or report.failed:  # a crash is told once, as a failure
            self._left.pop(report.nodeid, None)
        self._last = report.nodeid
        if report.failed:
            self._failed[report.nodeid] = None
            self._say(f"failed: {report.nodeid}")

    def pytest_collectreport(self, report: Any) -> None:
        """A file has been read."""
        if report.failed:
            self._failed[report.nodeid] = None

    def pytest_sessionfinish(self) -> None:
        """The run is over."""
        self._over.set()
        self._record.write_text(json.dumps([[*self._failed], [*self._left]]), encoding="utf-8")

    def _tell(self) -> None:
        while not self._over.wait(PACE):
            seconds = time.monotonic() - self._begun
            self._say(
                f"[{seconds:.0f} s] {self._total - len(self._left)} of {self._total} tests, "
                f"{len(self._failed)} failed; last: {self._last}"
            )

    def _say(self, line: str) -> None:
        try:
            os.write(self._output, f"\n{line}\n".encode())
        except OSError:
            pass  # a pipe that nobody reads, or a terminal that is full: no test fails of that


def pytest_configure(config: Any) -> None:
    """pytest: this module is a plugin of the process that was started here, not of its workers."""
    record = os.environ.get("SUITE_RECORD")
    output = os.environ.get("SUITE_OUTPUT")
    if record and output and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(Path(record), int(output)), "bridge-progress")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
