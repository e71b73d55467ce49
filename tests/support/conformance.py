"""asgiref 1.1.2's own tests of channel layers, run on one of ours.

The tests' environment has today's asgiref, whose name is the same. So the old one is installed by
itself, once, below ``build/``, and its tests run in a process that finds it first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unittest
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "asgiref-1.1.2"
PACKAGES = ("asgiref==1.1.2", "six==1.17.0")

#: How many tests the suite has.
TESTS = 18
#: What a layer should have so that no test is skipped: the suite waits as long as messages live.
SETTINGS: dict[str, Any] = {"expiry": 2, "group_expiry": 2, "capacity": 5}


class Outcome(NamedTuple):
    """What became of the suite's tests."""

    ran: int
    skipped: list[str]
    problems: list[str]


def run(layer: str, *arguments: Any, **settings: Any) -> Outcome:
    """Run the suite on ``layer(*arguments, **settings)``; `layer` is a ``module:name``."""
    job = json.dumps([layer, arguments, SETTINGS | settings])
    path = os.pathsep.join([str(installed()), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.conformance", job],
        env={**os.environ, "PYTHONPATH": path},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=True,
    )
    return Outcome(*json.loads(done.stdout))


def installed() -> Path:
    """The folder with asgiref 1.1.2, installed if it is not there yet."""
    if not FOLDER.exists():
        FOLDER.parent.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=FOLDER.parent) as folder:
            fresh = f"{folder}/packages"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
            command += ["--disable-pip-version-check", "--no-compile", "--target", fresh]
            subprocess.run([*command, *PACKAGES], stdin=subprocess.DEVNULL, check=True)
            try:
                os.rename(fresh, FOLDER)
            except OSError:  # another process was quicker
                assert FOLDER.exists()
    return FOLDER


def _main(job: str) -> None:
    """In that process: run the suite, and print the `Outcome`."""
    suite = import_module("asgiref.conformance")
    assert Path(suite.__file__ or "").is_relative_to(FOLDER)
    layer, arguments, settings = json.loads(job)
    module, _, name = layer.partition(":")

    class Conformance(suite.ConformanceTestCase):
        channel_layer = getattr(import_module(module), name)(*arguments, **settings)
        expiry_delay = settings["expiry"] + 0.2
        capacity_limit = settings["capacity"]

    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(Conformance).run(result)
    Conformance.channel_layer.close()
    problems = [f"{test}\n{text}" for test, text in [*result.errors, *result.failures]]
    print(json.dumps([result.testsRun, [str(test) for test, _ in result.skipped], problems]))


if __name__ == "__main__":
    _main(sys.argv[1])
