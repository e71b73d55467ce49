"""The file of a cutover."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from bridge.cutover.editing import switch_in_file
from bridge.cutover.settings_file import MOST_BYTES, parse_plan, read_plan
from bridge.errors import ConfigError

FILE = """
old = "legacy.wsgi:app"
new = "asgi3:new.asgi:app"
require_new = true

[[routes]]
name = "invoices"
paths = ["/invoices", "/invoices/{id}"]
mode = "canary"
share = 5

[[routes]]
name = "home"
paths = "/"
methods = ["GET"]
host = "example.com"
"""


def test_a_file_has_both_apps_and_the_routes() -> None:
    """M1: in the order of the file."""
    plan = parse_plan(FILE)
    assert plan.apps == {"old": "legacy.wsgi:app", "new": "asgi3:new.asgi:app"}
    assert plan.options == {"require_new": True}
    assert [(each.name, each.mode, each.share) for each in plan.routes] == [
        ("invoices", "canary", 5.0),
        ("home", "old", None),
    ]
    assert parse_plan("").routes == ()


@pytest.mark.parametrize("table", ["tool.bridge.cutover", "cutover"])
def test_the_same_as_a_table(table: str) -> None:
    """M1: in a pyproject.toml, or in a file of settings."""
    text = FILE.replace("[[routes]]", f"[[{table}.routes]]")
    plan = parse_plan(f"[{table}]\n{text}\n[tool.other]\nx = 1")
    assert [each.name for each in plan.routes] == ["invoices", "home"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("old = ", "it is not TOML: "),
        ("[tool.bridge]\nport = 1", "it has no table [tool.bridge.cutover]"),
        (
            "require-new = 1",
            "the file has require-new, which is not known; did you mean require_new?",
        ),
        ("gates = 1", "the file has gates, which is not known; allowed is old, new, "),
        ("old = 3", "old is 3; allowed is an app, such as old.app:app"),
        ("routes = 3", "routes is 3; allowed are tables, each below [[routes]]"),
        ("routes = [3]", "routes has 3; allowed are tables"),
        ("[routes]\nname = 'a'", "routes is {'name': 'a'}; allowed are tables"),
        ("[[routes]]\npaths = '/'", "route number 1 has no name; a route needs name and paths"),
        ("[[routes]]\nname = 'a'", "route a has no paths"),
        ("[[routes]]\nname = 'a'\npath = '/'", "route a has path, which is not known; did you"),
        ("[[routes]]\nname = 3\npaths = '/'", "the name of a route is 3"),
        ("[[routes]]\nname = 'a'\npaths = '/'\nshare = 150", "route a: share is 150; allowed is"),
        ("[[routes]]\nname = 'a'\npaths = 'x*'", "route a: the path 'x*' is no pattern"),
        (
            "[[routes]]\nname = 'a'\npaths = '/'\n[[routes]]\nname = 'a'\npaths = '/b'",
            "two routes are called a",
        ),
    ],
)
def test_what_is_wrong_is_one_line(text: str, says: str, tmp_path: Path) -> None:
    """M5: it names the file, what was seen and what is allowed."""
    file = tmp_path / "cutover.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)) as caught:
        read_plan(str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """M5: one that is missing, a directory, and one in another encoding."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_plan(str(tmp_path / "cutover.toml"))
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_plan(str(tmp_path))
    (tmp_path / "latin.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="is not TOML: it is not UTF-8"):
        read_plan(str(tmp_path / "latin.toml"))


def test_what_is_no_file_of_routes_is_refused_at_once(tmp_path: Path) -> None:
    """M5: a pipe that nobody writes, and a file that is too large."""
    pipe, large = tmp_path / "pipe", tmp_path / "large.toml"
    os.mkfifo(pipe)
    large.write_text("#" * (MOST_BYTES + 1))
    for file, says in ((pipe, "is no regular file"), (large, "is larger than 1024 KiB")):
        with pytest.raises(ConfigError, match=f"{file}: it {says}"):
            read_plan(str(file))
        with pytest.raises(ConfigError, match=says):
            switch_in_file(str(file), "a", "old")


@pytest.mark.parametrize("value", ["[" * 5000, "1" * 5000])
def test_text_that_the_parser_gives_up_on(value: str) -> None:
    """M5: tables too deep, a number too long: an error as any other."""
    with pytest.raises(ConfigError, match="it is not TOML"):
        parse_plan(f"a = {value}")
