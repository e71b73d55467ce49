"""Routes as data."""

from __future__ import annotations

import dataclasses

import pytest

from bridge.route_tables import AppRoute, AppTable, View, parse_braces
from bridge.route_tables.route import unread_table


def test_a_route_is_data() -> None:
    """M50: it cannot be changed, and what is not given is not known."""
    route = AppRoute("/users/<int:id>", parse_braces("/users/{id:int}"))
    assert (route.methods, route.kind, route.host, route.view.is_async) == ((), "http", "", None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        route.name = "other"  # type: ignore[misc]


def test_notes_of_a_table() -> None:
    """M50: there may be several."""
    table = AppTable("old:app").noted("inside of a").noted("inside of b")
    assert table.note == "inside of a; inside of b"


def test_an_app_whose_routes_are_not_known() -> None:
    """M50: it says so, and has what is called."""
    table = unread_table("old:app", "its routes cannot be read", View("old.app", "old.py", 3))
    assert table.entries == ()
    assert table.unread == "its routes cannot be read"
    assert table.view.line == 3
