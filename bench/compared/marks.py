"""What the probed app did, told to the probe by a file: to ask the server would need a worker."""

from __future__ import annotations

import os
import time
from pathlib import Path

PLACE = "BENCH_COMPARED_MARKS"


def mark(text: str) -> None:
    """Called by the app: add a line."""
    with Path(os.environ[PLACE], "marks").open("a") as file:
        file.write(f"{text}\n")


def wait_for_go(seconds: float) -> bool:
    """Called by the app: wait until the probe has called `Marks.go`; whether it has."""
    return _until(Path(os.environ[PLACE], "go").exists, seconds)


class Marks:
    """The same file, for the probe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def clear(self) -> None:
        for name in ("marks", "go"):
            (self.folder / name).unlink(missing_ok=True)

    def go(self) -> None:
        (self.folder / "go").touch()

    def seen(self) -> list[str]:
        path = self.folder / "marks"
        return path.read_text().splitlines() if path.exists() else []

    def wait(self, start: str, seconds: float = 5.0) -> str | None:
        """The first mark that begins with `start`, once there is one; None: not in that time."""
        _until(lambda: self._first(start) is not None, seconds)
        return self._first(start)

    def _first(self, start: str) -> str | None:
        return next((line for line in self.seen() if line.startswith(start)), None)


def _until(done: object, seconds: float) -> bool:
    assert callable(done)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.02)
    return bool(done())
