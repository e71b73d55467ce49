"""The table of routes, in a file and in terminals of several widths."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bridge.route_tables import AppTable, Row, View, parse_braces
from bridge.route_tables.patterns.pattern import EVERYTHING, literal
from bridge.route_tables.route import AppRoute
from bridge.route_tables.site.rows import Place
from bridge.server.commands.routes.table import summary_of, table_of, visible

APP = AppTable("shop:app", entries=(AppRoute("/", literal("/")),))
FIRST = Row(literal("/"), APP, Place(), ("GET",), view=View("shop.home", "shop.py", 10, False))
LONG = Row(
    parse_braces("/a/rather/long/path/with/{several}/{parameters}"),
    replace(APP, app="another.module:application"),
    Place(),
    ("GET", "POST"),
    view=View("shop.views.items.list_of_items", "shop/views/items.py", 1234, True),
    never="GET /a of shop:app is never reached: / is mounted on another.module:application",
)
ROWS = [FIRST, LONG]


def test_a_file_has_all_of_it_in_one_line_each() -> None:
    """M50: nothing is cut, and the columns are below one another."""
    head, first, second = table_of(ROWS)
    assert head.split() == ["PATH", "METHODS", "APP", "RUNS", "VIEW", "FILE", "NOTE"]
    assert first.index("shop.py:10") == head.index("FILE") == second.index("shop/views/items.py")
    assert second.endswith(LONG.never)
    assert first == first.rstrip()


def test_a_wide_terminal_is_like_a_file() -> None:
    """M50: if the table fits, nothing is done to it."""
    assert table_of(ROWS, 400) == table_of(ROWS)
    assert "NOTE" not in table_of([FIRST], 400)[0]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_narrow_terminal(width: int) -> None:
    """M50: no line is longer; notes are below their rows, and long cells are cut in the middle."""
    lines = table_of(ROWS, width)
    assert max(map(len, lines)) <= width
    assert lines[1].split() == ["/", "GET", "shop:app", "sync", "shop.home", "shop.py:10"]
    assert lines[2].startswith("/a/")
    note = " ".join(line.strip() for line in lines[3:])
    assert note == f"! {LONG.never}"


def test_a_terminal_that_is_too_narrow_for_anything() -> None:
    """M50: columns keep some characters of their own."""
    lines = table_of(ROWS, 10)
    assert "…" in lines[2]
    assert len(lines[1].split()) == 6


def test_what_is_shown_and_counted() -> None:
    """M50: routes, and apps that have none."""
    rest = replace(FIRST, path=EVERYTHING, is_rest=True)
    empty = replace(rest, app=AppTable("empty:app"))
    unread = replace(FIRST, is_unread=True, app=AppTable("bare:app"))
    rows = [FIRST, rest, empty, unread]
    assert list(visible(rows)) == [FIRST, empty, unread]
    assert summary_of(list(visible(rows))) == "1 route in 3 apps"
    assert summary_of([FIRST, LONG]) == "2 routes in 2 apps; 1 is never reached"
    assert summary_of([LONG, LONG]).endswith("; 2 are never reached")
