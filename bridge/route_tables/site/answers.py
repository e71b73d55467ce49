"""Who would answer a request (M50): the rows of a site are asked in their order, and no app is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bridge.route_tables.route import AppTable, RouteKind
from bridge.route_tables.site.conflicts import with_conflicts
from bridge.route_tables.site.rows import Row, rows_of


@dataclass(frozen=True)
class Answer:
    """Who answers, and why. Several: the first may pass the request on to the next."""

    row: Row
    #: In plain words: what it does, or under which condition.
    says: str
    #: Whether it answers in any case, if it is asked.
    surely: bool


def site_table(table: AppTable) -> list[Row]:
    """Return all rows of a site, with those that are never reached told."""
    return with_conflicts(rows_of(table))


def who_answers(
    rows: Sequence[Row], path: str, method: str = "GET", host: str = "", kind: RouteKind = "http"
) -> list[Answer]:
    """Return who would answer, in the order in which they are asked; empty: nobody, a 404.

    The list ends with the first one that surely answers.
    """
    answers: list[Answer] = []
    refused: list[Row] = []
    for row in rows:
        if not row.takes_path(path, host, kind) or any(_settles(a.row, row) for a in answers):
            continue
        if not row.takes_method(method):
            refused.append(row)
            continue
        if row.is_rest:
            answers.append(_rest(row, refused, rows, (path, method, host, kind)))
        else:
            answers.append(Answer(row, "; ".join(_words(row)), surely=not _may_pass(row)))
        if answers[-1].surely:
            break
    return answers


def _settles(answer: Row, row: Row) -> bool:
    """Whether `row` is not asked, whatever becomes of the conditions: `answer` was before."""
    theirs, mine = answer.place, row.place
    same_turn = mine.turns[: len(theirs.turns)] == theirs.turns
    return same_turn and set(theirs.conditions) <= set(mine.conditions)


def _may_pass(row: Row) -> bool:
    """Whether the request may go on to others after this one."""
    return bool(row.place.conditions) or not all(is_last for *_, is_last in row.place.turns)


def _words(row: Row) -> Iterator[str]:
    if row.place.switch:
        yield f"by {row.place.switch}"
    if row.is_unread:
        yield row.app.unread
    for condition in row.place.conditions:
        yield f"if {condition}"
    if not all(is_last for *_, is_last in row.place.turns):
        yield "if it refuses (404 or 405), the next app is asked"


def _rest(
    row: Row,
    refused: Sequence[Row],
    rows: Sequence[Row],
    request: tuple[str, str, str, RouteKind],
) -> Answer:
    """Return what an app says to a request that none of its routes takes."""
    surely = not _may_pass(row)
    own = [each for each in refused if each.place == row.place]
    if own:
        allowed = sorted({method for each in own for method in each.methods})
        return Answer(row, f"405: the methods here are {', '.join(allowed)}", surely)
    path, method, host, kind = request
    routes = [each for each in rows if each.app is row.app and not each.is_rest]
    for other in _other_slash(path, row):
        if any(each.takes(other, method, host, kind) for each in routes):
            return Answer(row, f"a redirect to {other}", surely)
    if kind == "websocket":
        return Answer(row, "no route: the WebSocket is refused", surely)
    return Answer(row, "404: no route", surely)


def _other_slash(path: str, row: Row) -> Iterator[str]:
    redirects = row.app.redirects_slashes
    if redirects and not path.endswith("/"):
        yield f"{path}/"
    elif redirects == "both" and path != "/":
        yield path.rstrip("/")
