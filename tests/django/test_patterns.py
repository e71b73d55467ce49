"""Routes as regular expressions: they match at least what Django's routes match."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.urls import URLPattern, path, re_path, register_converter
from django.utils.translation import gettext_lazy

from bridge.django.patterns import ANYTHING, text_of
from tests.support.django_here import project, set_up

set_up()


class YearConverter:
    """A converter whose expression has groups."""

    regex = "([0-9]{2})([0-9]{2})"
    to_python = staticmethod(int)
    to_url = staticmethod(str)


register_converter(YearConverter, "tests_year")


def view(request: Any) -> None:
    """A view."""


#: A route -> what its expression is, or paths that it takes and refuses.
EXACT: list[tuple[URLPattern, list[str], list[str]]] = [
    (path("", view), [""], ["a"]),
    (path("a.b/", view), ["a.b/"], ["axb/", "a.b", "a.b/c"]),
    (path("<int:n>/x", view), ["12/x"], ["a/x", "12/xx"]),
    (path("<path:all>", view), ["a/b"], [""]),
    (path("<tests_year:year>/", view), ["2024/"], ["20/"]),
    (re_path(r"^a/(?P<n>\d+)/$", view), ["a/1/"], ["b/1/", "a/1/2"]),
    (re_path(r"^(a|b)/$", view), ["a/", "b/"], ["c/"]),
    (re_path(r"^a/", view), ["a/", "a/more"], ["b"]),
    (re_path(r"end", view), ["end", "to/the/end/of"], ["en"]),
    (re_path(r"^[^/]+$", view), ["a"], ["a/b"]),
]


@pytest.mark.parametrize(("route", "taken", "refused"), EXACT)
def test_what_is_taken(route: URLPattern, taken: list[str], refused: list[str]) -> None:
    """M30: an expression takes what the route takes; usual ones take nothing else."""
    match = re.compile(text_of(route.pattern, endpoint=True)).match
    for each in taken:
        assert route.resolve(each)
        assert match(each), each
    for each in refused:
        assert not route.resolve(each)
        assert not match(each), each


@pytest.mark.parametrize(
    "text",
    [
        r"^(a)\1$",
        r"^(?P<x>a)(?P=x)$",
        r"^(a)?(?(1)b|c)$",
        r"^a|b$",
        r"(?i)^a$",
        r"(?<=x)a",
        r"\Aa",
        r"\ba",
        r"(^a)",
    ],
)
def test_what_needs_its_place(text: str) -> None:
    """M30: an expression that would change its meaning behind a prefix stands for anything."""
    assert ANYTHING in text_of(re_path(text, view).pattern, endpoint=True)


def test_patterns_of_other_classes() -> None:
    """M30: a pattern that Django did not make may take anything."""
    assert text_of(object(), endpoint=True) == ANYTHING


def test_names_may_come_twice() -> None:
    """M30: expressions of several routes go together, whatever their groups are called."""
    routes = [path("a/<int:n>", view), path("b/<int:n>", view), re_path("^c/(?P<n>.)$", view)]
    match = re.compile("|".join(text_of(each.pattern, endpoint=True) for each in routes)).match
    assert [bool(match(each)) for each in ("a/1", "b/2", "c/3", "d/4")] == [True, True, True, False]


def test_each_language() -> None:
    """M30: prefixes and routes that are translated match in all languages."""
    languages = {"LANGUAGES": [("en", "English"), ("de", "German")], "LANGUAGE_CODE": "en"}
    with project(USE_I18N=True, **languages):
        (prefixed,) = i18n_patterns(path("x", view), prefix_default_language=False)
        match = re.compile(text_of(prefixed.pattern, endpoint=False) + "x").fullmatch
        assert [bool(match(each)) for each in ("x", "de/x", "fr/x")] == [True, True, False]
        for make in (path, re_path):
            route = make(gettext_lazy("Sunday"), view)
            match = re.compile(text_of(route.pattern, endpoint=True)).match
            assert [bool(match(each)) for each in ("Sunday", "Sonntag", "Samstag")] == [
                *(True, True, False)
            ]
