"""Noise: what the old app answers differently each time, and so no difference (M11). Pure.

A sample of the requests is asked of the old app twice. What differs between these two answers is
noise: for this request, and, where it has a name (a place in JSON, a field, a cookie), for all
later ones of its route. Indexes of arrays are generalised: what differs in one item may differ in
all.
"""

from __future__ import annotations

from typing import Final

from bridge.cutover.shadow.compare import Comparison
from bridge.cutover.shadow.json_walk import Difference

#: The most that is learned for one route; an app that is all noise has to be told so by rules.
MOST: Final = 200
#: The most routes for which anything is learned.
MOST_ROUTES: Final = 1_000
#: What is the same thing in other answers, too. The root of JSON is not: all would be noise.
_LASTING: Final = ("$.", "$[", "header:", "cookie:")


class Noise:
    """What was learned, by route. Not shared by threads."""

    def __init__(self) -> None:
        self._learned: dict[str, frozenset[str]] = {}

    def of(self, route: str) -> frozenset[str]:
        """Return the patterns that are noise in the answers of `route`."""
        return self._learned.get(route, frozenset())

    def learn(self, route: str, twice: Comparison) -> frozenset[str]:
        """Learn from a comparison of two answers of the old app to the same request.

        Returns what is noise for this request: what is known of its route, and what is only here,
        such as a word of a text.
        """
        known = self.of(route)
        seen = frozenset(each.pattern for each in twice.differences)
        lasting = known | {each.pattern for each in twice.differences if _lasts(each)}
        if len(lasting) <= MOST and (route in self._learned or len(self._learned) < MOST_ROUTES):
            self._learned[route] = lasting
        return lasting | seen


def _lasts(difference: Difference) -> bool:
    """Whether it says something of other answers, too: not that a list has grown meanwhile."""
    longer = difference.kind in ("missing", "added") and difference.pattern.endswith("[*]")
    return difference.pattern.startswith(_LASTING) and not longer
