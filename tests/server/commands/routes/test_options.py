"""What can be asked for beside the app."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from bridge.errors import ConfigError
from bridge.server.commands.routes.options import Asked, output_width, take

NOTHING = {
    "as_json": False,
    "strict_routes": False,
    "ask_path": None,
    "ask_method": None,
    "ask_host": None,
}


def test_what_is_asked_for() -> None:
    """M50: the options are taken out; the method is GET, in capitals."""
    options: dict[str, Any] = {**NOTHING, "app": "shop:app"}
    assert take(options) == Asked(False, False, None, "GET", "")
    assert options == {"app": "shop:app"}
    given = {**NOTHING, "ask_path": "/a", "ask_method": "post", "ask_host": "a.org"}
    assert take(given) == Asked(False, False, "/a", "POST", "a.org")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ask_method": "POST"}, "--method is of a request whose path is missing; say --path /x"),
        ({"ask_host": "a.org"}, "--host is of a request whose path is missing"),
        ({"ask_path": "a"}, "--path is 'a'; allowed is a path that begins with a slash, /x"),
    ],
)
def test_what_is_not_allowed(given: dict[str, Any], said: str) -> None:
    """M50: a request needs a path."""
    with pytest.raises(ConfigError, match=said):
        take({**NOTHING, **given})


def test_the_width_of_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """M50: that of a terminal; a file has none."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert output_width() is None
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "77")
    assert output_width() == 77
