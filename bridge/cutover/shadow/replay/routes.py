"""The routes of a cutover in a recording: what they take, and what they are called (M13)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from urllib.parse import unquote

from bridge.cutover.route import Route
from bridge.cutover.shadow.records import RecordedRequest, first
from bridge.cutover.table import Table


def route_finder(routes: Iterable[Route]) -> Callable[[RecordedRequest], str | None]:
    """Return a function that names the route that takes a request; None if none does."""
    table = Table(tuple(routes))

    def find(request: RecordedRequest) -> str | None:
        host = first(request.headers, "host") or ""
        route = table.find(unquote(request.path), request.method, host)
        return None if route is None else route.name

    return find
