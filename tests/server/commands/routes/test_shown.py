"""What is shown of a route."""

from __future__ import annotations

import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from bridge.route_tables import AppTable, Row, View, parse_braces
from bridge.route_tables.site.rows import Place
from bridge.server.commands.routes.shown import Shown, as_object, notes_of, shown_file

APP = AppTable("shop:app", "Flask")
ROW = Row(
    parse_braces("/a/{id}"),
    APP,
    Place(),
    ("GET", "HEAD", "OPTIONS"),
    ("http",),
    view=View("shop.a", "/x/shop.py", 3, True),
    name="a",
    pattern="/a/<id>",
)


def test_cells() -> None:
    """M50: HEAD beside GET, and OPTIONS, are left out."""
    shown = Shown.of(ROW)
    assert shown.cells() == ("/a/{id}", "GET", "shop:app", "async", "shop.a", "/x/shop.py:3")
    assert shown.note == ""


@pytest.mark.parametrize(
    ("methods", "cell"),
    [((), "*"), (("OPTIONS",), "OPTIONS"), (("HEAD",), "HEAD"), (("POST", "HEAD"), "POST,HEAD")],
)
def test_methods(methods: tuple[str, ...], cell: str) -> None:
    """M50: a star is every method."""
    assert Shown.of(replace(ROW, methods=methods)).methods == cell
    assert Shown.of(replace(ROW, kinds=("websocket",))).methods == "WEBSOCKET"


def test_head_in_fastapi() -> None:
    """M50: is shown, since a GET there has none unless it is asked for."""
    row = replace(ROW, app=AppTable("shop:app", "FastAPI"))
    assert Shown.of(row).methods == "GET,HEAD"
    assert Shown.of(replace(row, methods=("GET",))).methods == "GET"


def test_views_without_a_place() -> None:
    """M50: what is not known is empty."""
    assert Shown.of(replace(ROW, view=View("len"))).cells()[3:] == ("", "len", "")
    assert Shown.of(replace(ROW, view=View("x", "x.py"))).place == "x.py"


def test_notes() -> None:
    """M50: that it is never reached comes first."""
    row = replace(ROW, app=APP.noted("inside of x"), notes=("more",), never="lost")
    assert notes_of(row) == ["lost", "inside of x", "more"]
    assert notes_of(replace(ROW, is_rest=True)) == ["it has no routes"]


def test_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """M50: without the working directory, or that of the libraries, before it."""
    monkeypatch.chdir(tmp_path)
    assert shown_file(str(tmp_path / "shop" / "views.py")) == "shop/views.py"
    assert shown_file(sysconfig.get_path("purelib") + "/flask/app.py") == "flask/app.py"
    assert shown_file("/elsewhere/x.py") == "/elsewhere/x.py"
    assert shown_file("<string>") == "<string>"
    assert shown_file(None) is None


def test_json() -> None:
    """M50: everything that is known, None for what is not."""
    found = as_object(ROW)
    assert found["path"] == "/a/{id}"
    assert found["pattern"] == "/a/<id>"
    assert (found["app"], found["framework"], found["mount"]) == ("shop:app", "Flask", "/")
    assert (found["async"], found["view"], found["line"]) == (True, "shop.a", 3)
    assert (found["never_reached"], found["host"], found["readable"]) == (None, None, True)
    assert as_object(replace(ROW, is_rest=True))["notes"] == ["it has no routes"]
