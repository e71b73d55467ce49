"""Programs that run to their end, in a process of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.hosts import ENV, ROOT

#: Seconds that one may take.
PATIENCE = 120


def run(head: str, program: str) -> str:
    """Run a Python program, which begins with `head`, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def serve_to_the_end(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `asgi-bridge serve` in `folder` until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", "serve", "--port=0", *options],
        cwd=folder,
        env={**os.environ, **ENV, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
