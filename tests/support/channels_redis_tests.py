"""channels_redis's own tests of its layer, run on ours (rule L14).

They come from its source archive, with what they need beside the tests' environment; both
are fetched once, below ``build/``. The archive of Channels itself has no tests. Nothing in them is
changed but the port of Redis; before they are imported, the class that they test becomes ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
RELEASE = "4.3.0"
FOLDER = ROOT / "build" / f"channels_redis-{RELEASE}"
PACKAGES = ("pytest-asyncio==1.4.0", "async-timeout==5.0.1")

_CONFTEST = '''
"""Has the tests of channels_redis test the layer of asgi-bridge."""

import channels_redis.core
from bridge.channels.django import RedisChannelLayer


class Layer(RedisChannelLayer):
    def __init__(self, hosts=None, **config):
        super().__init__(hosts=hosts or ["redis://ADDRESS"], **config)


channels_redis.core.RedisChannelLayer = Layer
'''


class Outcome(NamedTuple):
    """What became of the tests, by their names."""

    passed: list[str]
    failed: dict[str, str]


def run(port: int) -> Outcome:
    """Run ``tests/test_core.py`` with the Redis on `port`; those that it expects to fail, too."""
    folder = fetched()
    with TemporaryDirectory() as scratch:
        tests = Path(scratch, "test_core.py")
        text = (folder / "tests" / "test_core.py").read_text()
        address = f"127.0.0.1:{port}"
        tests.write_text(text.replace("localhost:6379", address))
        Path(scratch, "conftest.py").write_text(_CONFTEST.replace("ADDRESS", address))
        report = Path(scratch, "report.xml")
        command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, f"--rootdir={scratch}"]
        command += ["--runxfail", "-o", "asyncio_mode=auto", f"--junitxml={report}"]
        subprocess.run(
            [*command, "-p", "no:cacheprovider", str(tests)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "needs"), str(ROOT)])},
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=280,
            check=False,
        )
        return _read(report)


def _read(report: Path) -> Outcome:
    outcome = Outcome([], {})
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name", "")
        problem = next((each for each in case if each.tag in ("failure", "error")), None)
        if problem is not None:
            outcome.failed[name] = problem.get("message", "")
        else:
            outcome.passed.append(name)
    return outcome


def fetched() -> Path:
    """The folder of the archive, and of what its tests need, fetched if it is not there yet."""
    if not FOLDER.exists():
        FOLDER.parent.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=FOLDER.parent) as folder:
            _pip("download", "--no-binary=:all:", "--dest", folder, f"channels_redis=={RELEASE}")
            with tarfile.open(f"{folder}/channels_redis-{RELEASE}.tar.gz") as archive:
                archive.extractall(folder, filter="data")
            fresh = Path(folder, f"channels_redis-{RELEASE}")
            _pip("install", "--no-compile", "--target", str(fresh / "needs"), *PACKAGES)
            try:
                os.rename(fresh, FOLDER)
            except OSError:  # another process was quicker
                assert FOLDER.exists()
    return FOLDER


def _pip(command: str, *arguments: str) -> None:
    options = ["--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", command, *options, *arguments],
        stdin=subprocess.DEVNULL,
        check=True,
    )
