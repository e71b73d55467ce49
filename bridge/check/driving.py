"""What drives apps of both kinds: which requests are sent, in which order, and what was not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import replace

from bridge.check.answers import MOST_HANGING, Answer, remarks, with_slash
from bridge.check.findings import Findings
from bridge.check.requests import NOTHING_THERE, Options, Request, posting, reading
from bridge.check.watching.logs import Logs


class Drive(ABC):
    """Drives one app; `root_path` is the place where it is mounted."""

    def __init__(self, options: Options, findings: Findings, logs: Logs, root_path: str) -> None:
        self._options = options
        self._findings = findings
        self._logs = logs
        self._root_path = root_path
        self.answers: list[Answer] = []

    @abstractmethod
    def run(self) -> None:
        """Send everything that may be sent, and close what was used for it."""

    @abstractmethod
    def _send(self, request: Request) -> Answer:
        """Send one request, and note what comes."""

    def _send_requests(self) -> None:
        """Send those that read; then those that post, to where that does no harm."""
        options = self._options
        self._send_all(reading(options.paths, options.missing, options.fields))
        there = with_slash(self.answers, options.missing)
        if there is not None:
            self._options = options = replace(options, missing=there)
            self._send_all([Request("GET", there, fields=options.fields)])
        for path in options.unsafe:
            self._send_all(posting(path, options.fields, there=True))
        if self.nothing_there:
            self._send_all(posting(options.missing, options.fields, there=False))

    def _send_all(self, requests: Iterable[Request]) -> None:
        for request in requests:
            if not self._gave_up and not self._is_known(request):
                self.answers.append(self._send(request))

    def _is_known(self, request: Request) -> bool:
        """Whether it asks again for a response that does not end."""
        reads = request.method != "POST" and not request.leaves
        return reads and request.path in self.streams

    @property
    def streams(self) -> set[str]:
        """The paths whose responses do not end. Each is asked once, and by a client that leaves."""
        return {each.request.path for each in self.answers if each.streams}

    @property
    def nothing_there(self) -> bool:
        """Whether the app has said that nothing is at the path that cannot exist."""
        missing = self._options.missing
        return any(
            each.request.path == missing and each.status in NOTHING_THERE for each in self.answers
        )

    @property
    def _gave_up(self) -> bool:
        """Whether nothing more is sent: too much hangs."""
        return sum(each.hangs for each in self.answers) >= MOST_HANGING

    def remarks(self) -> list[str]:
        """Say what was not sent, and why."""
        return remarks(self.answers, self._options, nothing_there=self.nothing_there)
