"""The report as its writers see it: what was compared, and what was not (M12)."""

from __future__ import annotations

from pathlib import Path
from time import time

from bridge.cutover.shadow.compare import Comparison
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.report import lines
from bridge.cutover.shadow.report.file import MOST_BYTES, BoundedFile


class Report:
    """Writes lines to the file at `path`. Raises `ConfigError` if that cannot be written.

    Writing blocks, for a short time: on an event loop, call it in a thread.
    """

    def __init__(self, path: str | Path, most_bytes: int = MOST_BYTES) -> None:
        self.file = BoundedFile(path, most_bytes)

    def compared(
        self,
        route: str,
        request: RecordedRequest,
        old: RecordedResponse,
        new: RecordedResponse,
        comparison: Comparison,
    ) -> None:
        """Write that both sides have answered, and what differs."""
        entry = lines.compared(time(), route, request, old, new, comparison)
        self.file.write(lines.line_of(entry))

    def dropped(self, route: str, request: RecordedRequest, reason: str) -> None:
        """Write that a request was not compared."""
        self.file.write(lines.line_of(lines.not_compared(time(), route, request, reason)))

    def failed(self, route: str, request: RecordedRequest, reason: str) -> None:
        """Write that one side could not be asked."""
        entry = lines.not_compared(time(), route, request, reason, lines.ERROR)
        self.file.write(lines.line_of(entry))

    def close(self) -> None:
        """Close the file."""
        self.file.close()
