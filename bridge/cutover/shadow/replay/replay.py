"""Ask both sides what was recorded, one request after the other, and compare (M13)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from time import time
from typing import Final

from bridge.cutover.shadow.compare import compare
from bridge.cutover.shadow.methods import is_safe
from bridge.cutover.shadow.noise import Noise
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.replay.side import Side, Unanswered
from bridge.cutover.shadow.report import lines
from bridge.cutover.shadow.report.file import BoundedFile
from bridge.cutover.shadow.report.lines import Entry, target_of
from bridge.cutover.shadow.report.summary import Summary
from bridge.cutover.shadow.rules import RuleSet

#: A part of a path that names one thing of many.
_ID: Final = re.compile(
    r"\d+|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-f]{16,}", re.ASCII
)


class NoSide(Exception):
    """A side that has never answered: the replay is in vain."""


class Replay:
    """Asks `old` and `new` each request, and sums up what differs under `rules`.

    `twice`: the old app is asked each safe request twice, to learn its noise. `fields`: more fields
    to compare. `file` gets a line for each request. `tell` gets a line for each answer that fails.
    `find_route` names the route of a request; None if it has none, and gets a name by its path.
    """

    def __init__(
        self,
        old: Side,
        new: Side,
        rules: RuleSet,
        *,
        twice: bool = False,
        fields: Iterable[str] = (),
        file: BoundedFile | None = None,
        tell: Callable[[str], None] = lambda line: None,
        find_route: Callable[[RecordedRequest], str | None] = lambda request: None,
    ) -> None:
        self.summary = Summary()
        self._old, self._new = old, new
        self._rules = rules
        self._noise = Noise()
        self._twice = twice
        self._fields = tuple(fields)
        self._file = file
        self._tell = tell
        self._find_route = find_route

    def run(self, requests: Iterable[RecordedRequest]) -> Summary:
        """Ask all `requests`; returns the summary. Raises `NoSide`."""
        for request in requests:
            entry = self._ask(request)
            self.summary.add(entry)
            if self._file is not None:
                self._file.write(lines.line_of(entry))
        return self.summary

    def _ask(self, request: RecordedRequest) -> Entry:
        route = self._find_route(request) or route_of(request)
        rules = self._rules.rules_for(route, request.path)
        try:
            old = self._answer(self._old, request)
            noise = self._noise.of(route)
            if self._twice and is_safe(request):
                again = self._answer(self._old, request)
                found = compare(request, old, again, rules, fields=self._fields)
                noise = self._noise.learn(route, found)
            new = self._answer(self._new, request)
        except Unanswered as error:
            self._tell(f"{request.method} {target_of(request)}: {error}")
            return lines.not_compared(time(), route, request, str(error), lines.ERROR)
        found = compare(request, old, new, rules, noise, self._fields)
        return lines.compared(time(), route, request, old, new, found)

    def _answer(self, side: Side, request: RecordedRequest) -> RecordedResponse:
        try:
            return side.ask(request)
        except Unanswered as error:
            if error.never:
                raise NoSide(
                    f"the {side.name} side, {side.url}, does not answer: {error}"
                ) from None
            raise Unanswered(f"the {side.name} side: {error}") from None


def route_of(request: RecordedRequest) -> str:
    """Return a name for all requests like this one: ``GET /invoices/{id}``."""
    parts = ["{id}" if _ID.fullmatch(part) else part for part in request.path.split("/")]
    return f"{request.method} {'/'.join(parts)}"
