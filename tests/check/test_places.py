"""Where something is in the app's own code (M51)."""

from __future__ import annotations

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import bridge
from bridge.check import places
from bridge.loops.watchdog.stack import Place

HERE = __file__
value: int = 3


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@decorated
def wrapped() -> None: ...


class Thing:
    inner = 1

    def method(self) -> None: ...


def test_what_is_the_apps_own() -> None:
    """M51: neither this toolkit nor a library is."""
    assert places.is_app_file(HERE)
    assert not places.is_app_file(bridge.__file__)
    assert not places.is_app_file(json.__file__)
    assert not places.is_app_file("<string>")


def test_of_what_runs() -> None:
    """M51: the innermost place in the app's own code; a library's if nothing else is there."""
    found: list[Place | None] = []

    def called(text: Any) -> None:
        found.append(places.place_of_frame(sys._getframe(1)))

    json.loads("[]", object_hook=None)
    called(1)
    json.loads("{}", object_hook=called)
    assert [each.function.rpartition(".")[2] for each in found if each] == ["test_of_what_runs"] * 2
    assert places.place_of_frame(None) is None
    assert places.own_place_of_frame(None) is None


def test_of_an_error() -> None:
    """M51: the last own line that it has passed."""
    try:
        json.loads("{")
    except ValueError as error:
        place = places.place_of_error(error)
    assert place is not None
    assert (place.file, place.function) == (HERE, "test_of_an_error")
    assert places.place_of_error(ValueError()) is None


def test_of_what_is_defined() -> None:
    """M51: functions as they were before they were wrapped, methods, classes, objects."""
    for thing, function in ((wrapped, "wrapped"), (Thing().method, "Thing.method")):
        place = places.place_of(thing)
        assert place is not None
        assert (place.file, place.function) == (HERE, function)
    for thing in (Thing, Thing()):
        place = places.place_of(thing)
        assert place is not None
        assert (place.file, place.line) == (
            HERE,
            Path(HERE).read_text().split("class Thing")[0].count("\n") + 1,
        )
    assert places.place_of(3) is None


def test_of_a_name() -> None:
    """M51: where a module, or a class in it, gives it its value."""
    module = sys.modules[__name__]
    lines = Path(HERE).read_text().splitlines()
    for name in ("value", "inner"):
        place = places.place_of_name(module, name)
        assert place is not None
        assert lines[place.line - 1].strip().startswith(name)
    assert places.place_of_name(module, "nothing") == Place(HERE, 1, "")
    assert places.tree_of("no/such/file.py") is None


def test_shown_as_an_editor_takes_it(tmp_path: Path) -> None:
    """M51: from the working directory if it is below, else whole."""
    below = os.path.join(os.getcwd(), "shop", "views.py")
    assert places.shown(Place(below, 7, "home")) == "shop/views.py:7 in home"
    assert places.shown(Place(str(tmp_path / "a.py"), 7, "")) == f"{tmp_path}/a.py:7"


def test_the_modules_of_an_app() -> None:
    """M51: those that are its own, and were not loaded before."""
    assert sys.modules[__name__] in places.app_modules()
    assert sys.modules[__name__] not in places.app_modules([__name__])
    assert json not in places.app_modules()
