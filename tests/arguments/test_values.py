"""How the values of settings are read, also from text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge.arguments.values import VALUE_TYPES, WrongPart

READ: list[tuple[str, Any, Any]] = [
    ("object", "module:app", "module:app"),
    ("bool", True, True),
    ("bool", "Yes", True),
    ("bool", "off", False),
    ("int", 5, 5),
    ("int", "5", 5),
    ("Size", 65536, 65536),
    ("Size", "64k", 65536),
    ("Size", "1G", 1024**3),
    ("Size", "12", 12),
    ("Seconds", 1, 1.0),
    ("Seconds", "0.5", 0.5),
    ("Seconds", "1.5", 1.5),
    ("Seconds", "30s", 30.0),
    ("Seconds", "250ms", 0.25),
    ("Seconds", "5m", 300.0),
    ("Seconds", "1.5h", 5400.0),
    ("Seconds", "1h30m", 5400.0),
    ("Seconds", " 7d ", 604800.0),
    ("Percent", 5, 5.0),
    ("Percent", " 0.5% ", 0.5),
    ("Mode", "660", 0o660),
    ("Mode", 0o660, 0o660),
    ("str", "a", "a"),
    ("CertReqs", "optional", "optional"),
    ("CertReqs", "2", "required"),
    ("CertReqs", 0, "none"),
    ("Place", "/api/", "/api"),
    ("Place", "api", "/api"),
    ("Place", "/", ""),
    ("Path", "/tmp/x", "/tmp/x"),
    ("Path", Path("/tmp/x"), "/tmp/x"),
    ("Texts", "a, b,,c ", ("a", "b", "c")),
    ("Texts", ["a", "b"], ("a", "b")),
    ("Texts", (), ()),
    ("Mounts", {"/": "old:app"}, ("/=old:app",)),
    ("Mounts", "/=old:app, /api=new:app", ("/=old:app", "/api=new:app")),
    ("Mounts", ["host/=old:app"], ("host/=old:app",)),
    ("Mounts", "/=m:make(1, [2, 3]),/b=n:app", ("/=m:make(1, [2, 3])", "/b=n:app")),
    (
        "Mounts",
        "/=m:make('a, )', \"b'\"), /b=n:app",
        ("/=m:make('a, )', \"b'\")", "/b=n:app"),
    ),
    ("Mounts", r"/=m:make('\', x'), /b=n:app", (r"/=m:make('\', x')", "/b=n:app")),
    ("Hook", "a.b:c.d", "a.b:c.d"),
    ("Hook", len, len),
    ("LogConfig", "log.toml", "log.toml"),
    ("LogConfig", {"version": 1}, {"version": 1}),
]

WRONG: list[tuple[str, Any]] = [
    ("bool", 1),
    ("bool", "perhaps"),
    ("int", True),
    ("int", 2.5),
    ("int", "five"),
    ("Size", "K"),
    ("Size", "1.5K"),
    ("Size", None),
    ("Seconds", True),
    ("Seconds", "long"),
    ("Seconds", "inf"),
    ("Seconds", float("nan")),
    ("Seconds", [1]),
    ("Seconds", "5M"),
    ("Seconds", "5 minutes"),
    ("Seconds", 1e10),
    ("Seconds", "m"),
    ("Seconds", "s5"),
    ("Seconds", "-5s"),
    ("Seconds", "5s3"),
    ("Seconds", "1" * 400 + "d"),
    ("Percent", True),
    ("Percent", "five"),
    ("Percent", float("nan")),
    ("Mode", "888"),
    ("Mode", 0.5),
    ("str", 5),
    ("CertReqs", True),
    ("CertReqs", None),
    ("Place", "/a?b"),
    ("Place", "/a#b"),
    ("Place", "/a\nb"),
    ("Place", "http://host/"),
    ("Place", 5),
    ("Path", None),
    ("Texts", 5),
    ("Texts", [5]),
    ("Mounts", {"/": 5}),
    ("Mounts", 5),
    ("Hook", "a.b"),
    ("Hook", ":c"),
    ("Hook", "a:"),
    ("Hook", "a:c()"),
    ("Hook", 5),
    ("LogConfig", 5),
]


@pytest.mark.parametrize(("name", "value", "meant"), READ)
def test_what_is_meant(name: str, value: Any, meant: Any) -> None:
    """S61: text is read as what it means; a value of the right type stays what it is."""
    read = VALUE_TYPES[name].read(value)
    assert read == meant
    assert type(read) is type(meant)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_what_is_refused(name: str, value: Any) -> None:
    """S61: what cannot be meant is an error, as Python's own conversions raise it."""
    with pytest.raises((TypeError, ValueError, KeyError)):
        VALUE_TYPES[name].read(value)


@pytest.mark.parametrize("mount", ["old:app", "=old:app", "/api=", "api=old:app"])
def test_the_part_that_is_wrong(mount: str) -> None:
    """S61: of a list of mounts the one that is wrong is named."""
    with pytest.raises(WrongPart) as caught:
        VALUE_TYPES["Mounts"].read(f"/=good:app, {mount}")
    assert caught.value.args == (mount,)
