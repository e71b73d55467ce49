"""The name of an app, taken apart: nothing is imported or called."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.errors import AppLoadError
from bridge.server.apps.targets import CallArguments, Target, parse_target


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("main", Target("main", "", None)),
        ("main:app", Target("main", "app", None)),
        ("package.main:site.wsgi", Target("package.main", "site.wsgi", None)),
        ("main:make()", Target("main", "make", CallArguments((), {}))),
        ("main: make( )", Target("main", " make", CallArguments((), {}))),
        (
            'main:make("a:b", 1, debug=True, hosts=["x"], none=None)',
            Target(
                "main",
                "make",
                CallArguments(("a:b", 1), {"debug": True, "hosts": ["x"], "none": None}),
            ),
        ),
    ],
)
def test_names(text: str, target: Target) -> None:
    """S62: a module, perhaps an attribute of it, perhaps called with literals."""
    assert parse_target(text) == target


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no app"),
        (":app", "names no app"),
        ("main:", "names no app"),
        ("main.py", "name the module instead, such as main:app"),
        ("src/main.py:site", "name the module instead, such as main:site, with --app-dir src"),
        ("manage.py", "name the module instead, such as mysite.wsgi, if the project's wsgi.py is"),
        ("manage.py:site", "name the module instead, such as manage:site"),
        ("wsgi:main:app", "--interface wsgi"),
        ("a:b:c", "has two colons; say module:attr"),
        ("make()", "names no module"),
        ("main:make(", "no call that can be read"),
        ("main:make(x)", "no call that can be read"),
        ("main:make(*[1])", "no call that can be read"),
        ("main:make(**{})", "no call that can be read"),
        ("main:make()()", "no call that can be read"),
        ("main:make() + 1", "no call that can be read"),
        ("main:make(\0)", "no call that can be read"),
    ],
)
def test_what_is_no_name(text: str, said: Any) -> None:
    """S62: the error says how it is written."""
    with pytest.raises(AppLoadError) as error:
        parse_target(text)
    assert said in str(error.value)
