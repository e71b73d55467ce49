"""The clients as a process of their own: started, told, and asked what they have seen."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load.deploys.mixture import Mixture
from bench.load.deploys.outcome import Outcome

ROOT = Path(__file__).parents[3]
#: Seconds that the clients have to go home, and some more.
LAST = 40.0


class Crowd:
    """Clients that run."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ending(self) -> None:
        """Say that the server is about to be told to go; returns when they know."""
        self._tell("ending")
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ending\n"

    def stop(self) -> Outcome:
        """Have them finish, and go home; returns what they have seen."""
        said, _ = self._process.communicate("stop\n", LAST)
        return Outcome.from_json(json.loads(said))

    def _tell(self, order: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()


@contextmanager
def crowd(port: int, mixture: Mixture, python: str = sys.executable) -> Iterator[Crowd]:
    """Clients at `port` as long as the block lasts."""
    said = json.dumps(dataclasses.asdict(mixture))
    command = [python, "-m", "bench.load.deploys", str(port), said]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the clients did not start"
            yield Crowd(process)
        finally:
            process.kill()
