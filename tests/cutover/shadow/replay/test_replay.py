"""Both sides are asked, and compared."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.replay.replay import NoSide, Replay, route_of
from bridge.cutover.shadow.replay.side import Side, Unanswered
from bridge.cutover.shadow.report.file import BoundedFile
from bridge.cutover.shadow.rules import parse_rules

JSON = (("content-type", "application/json"),)
GET = RecordedRequest("GET", "/items/3")


class Told(Side):
    """A side whose answers are made by a function."""

    def __init__(self, name: str, answer: Callable[[RecordedRequest], bytes]) -> None:
        super().__init__(name, f"http://{name}.example")
        self._answer = answer

    def ask(self, request: RecordedRequest) -> RecordedResponse:
        """Give the answer (overrides the one over the network)."""
        return RecordedResponse(200, JSON, self._answer(request))


def replay(old: Callable[..., bytes], new: Callable[..., bytes], *rules: str, **more) -> Replay:
    """A replay between these."""
    return Replay(Told("old", old), Told("new", new), parse_rules(rules), **more)


def test_what_differs_is_summed_up_by_route(tmp_path: Path) -> None:
    """M13: both sides get each request; the summary has the routes, and a report each line."""
    file = BoundedFile(tmp_path / "report")
    both = replay(lambda request: b"[1]", lambda request: b"[2]", "@/b $", file=file)
    summary = both.run([GET, RecordedRequest("GET", "/items/4"), RecordedRequest("GET", "/b")])
    assert {name: (each.equal, each.different) for name, each in summary.routes.items()} == {
        "GET /items/{id}": (0, 2),
        "GET /b": (1, 0),
    }
    lines = (tmp_path / "report").read_text().splitlines()
    assert [json.loads(line)["target"] for line in lines] == ["/items/3", "/items/4", "/b"]


def test_the_old_app_is_asked_twice_for_its_noise() -> None:
    """M13: with `twice` what the old app answers differently is no difference; unsafe ones not."""
    numbers = itertools.count()

    def old(request: RecordedRequest) -> bytes:
        return b'{"at": %d}' % next(numbers)

    both = replay(old, lambda request: b'{"at": -1}', twice=True)
    assert both.run([GET]).different == 0
    assert next(numbers) == 2
    both = replay(old, lambda request: b"[]", twice=True)
    assert both.run([RecordedRequest("POST", "/")]).different == 1
    assert next(numbers) == 4
    assert both.run([RecordedRequest("GET", "/", "_method=DELETE")]).different == 2
    assert next(numbers) == 6


@pytest.mark.parametrize("side", ["old", "new"])
def test_an_answer_that_fails_is_an_error_and_no_difference(side: str) -> None:
    """M13: an answer that does not come is told, and counted apart from differences."""

    def fails(request: RecordedRequest) -> bytes:
        raise Unanswered("refused")

    def works(request: RecordedRequest) -> bytes:
        return b"[]"

    told: list[str] = []
    both = replay(
        fails if side == "old" else works, works if side == "old" else fails, tell=told.append
    )
    summary = both.run([GET])
    assert (summary.compared, summary.different, summary.errors) == (0, 0, 1)
    assert told == [f"GET /items/3: the {side} side: refused"]


def test_a_side_that_is_not_there_ends_the_replay() -> None:
    """M13: if a side has never answered, nothing is asked any more."""

    def absent(request: RecordedRequest) -> bytes:
        raise Unanswered("refused", never=True)

    with pytest.raises(NoSide, match=r"the new side, http://new.example, does not answer: refused"):
        replay(lambda request: b"", absent).run([GET])


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/", "GET /"),
        ("/items/12/", "GET /items/{id}/"),
        ("/u/123e4567-e89b-12d3-a456-426614174000/a", "GET /u/{id}/a"),
        ("/c/0123456789abcdef", "GET /c/{id}"),
        ("/v2/items", "GET /v2/items"),
    ],
)
def test_requests_that_are_alike_have_one_route(path: str, route: str) -> None:
    """M13: parts of a path that name one thing of many are one route."""
    assert route_of(RecordedRequest("GET", path)) == route
