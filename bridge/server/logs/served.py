"""Who answered a request behind a `Cutover`: for the access log, and for a field that says so."""

from __future__ import annotations

from typing import Final, NamedTuple

#: What stands for a route or a side where there is none.
NO_ROUTE: Final = "-"


class Served(NamedTuple):
    """A route and a side, and the field lines that are added to the response."""

    route: str
    side: str
    lines: bytes


#: Of a request that no `Cutover` has taken.
BY_THE_APP: Final = Served(NO_ROUTE, NO_ROUTE, b"")
