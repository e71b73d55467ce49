"""Patterns of paths."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import compile_path

from bridge.cutover.patterns import Pattern
from bridge.errors import ConfigError

PATTERNS = [
    "/",
    "/invoices",
    "/invoices/",
    "/invoices/{id}",
    "/invoices/{id:int}/lines/{line}",
    "/{tenant}/invoices",
    "/a{rest:path}",
    "/api/{rest:path}",
    "/files/{rest:path}/raw",
    "/x/{name}.{ext}",
    "/x/{a}-{b}-{c}",
    "/x/{when:float}",
    "/{key:uuid}",
    "/x/{a}-{b:int}",
]


@given(
    st.sampled_from(PATTERNS),
    st.lists(
        st.sampled_from(
            (
                *("/", "//", "invoices", "lines", "api", "files", "raw", "x", "a", "1", "23", "-"),
                *(".", "1.5", "Invoices", "ü", "%", "123e4567-e89b-12d3-a456-426614174000"),
            )
        ),
        max_size=8,
    ),
)
def test_patterns_take_what_they_take_in_starlette(text: str, pieces: list[str]) -> None:
    """M1: a pattern takes the same paths as in Starlette."""
    path = "/" + "".join(pieces)
    assert Pattern(text).takes(path) == (compile_path(text)[0].match(path) is not None)


@pytest.mark.parametrize(
    ("text", "path", "takes"),
    [
        ("/invoices/{id}", "/invoices/1", True),
        ("/invoices/{id}", "/invoices/", False),
        ("/invoices/{id}", "/invoices/1/", False),
        ("/invoices/{id}", "//invoices/1", False),
        ("/invoices/{id}", "/Invoices/1", False),
        ("/invoices/{id}", "/invoices/a b", True),
        ("/invoices/{id}", "/invoices/1\n", True),
        ("/api/{rest:path}", "/api", False),
        ("/api/{rest:path}", "/api/", True),
        ("/api/{rest:path}", "/apix", False),
        ("/a.b", "/axb", False),
        ("/ü", "/ü", True),
    ],
)
def test_whole_paths_as_they_are(text: str, path: str, takes: bool) -> None:
    """M1: slashes and case matter; `/api/{rest:path}` does not take `/api`."""
    assert Pattern(text).takes(path) is takes


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("/", ""),
        ("/a", "a"),
        ("/a/{b}", "a"),
        ("/a/", "a"),
        ("/a{b}", None),
        ("/{a}/b", None),
        ("/a{rest:path}", None),
    ],
)
def test_the_first_segment_is_known_if_all_paths_have_it(text: str, first: str | None) -> None:
    """M1: that is how most patterns are left out for a path."""
    assert Pattern(text).first == first


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (3, "the path 3 is no pattern; write one such as /invoices/{id}"),
        ("invoices", "no pattern"),
        ("", "no pattern"),
        ("/invoices/<int:id>", "as in Flask or Django; write /invoices/{id:int}"),
        ("/invoices/<slug:id>", "write /invoices/{id}"),
        ("/api/*", "for all below, write /path/{rest:path}"),
        ("/api$", "it looks like a regular expression"),
        ("/a?x=1", "the query is no part of a path"),
        ("/a#top", "a fragment is no part"),
        ("/a%20b", "write the character that %20 stands for"),
        ("/a\n", "cannot be printed"),
        ("/{a:slug}", "a type that is not known; there are str, int, float, uuid, path"),
        ("/{a}/{a}", "has {a} twice"),
        ("/{a}{b}", "{b} follows another one at once"),
        ("/{a", "a brace that is no parameter"),
        ("/a}", "a brace that is no parameter"),
        ("/{1a}", "a brace that is no parameter"),
        ("/{a:path}/{b:path}", "more than one {name:path}; one is allowed"),
    ],
)
def test_what_cannot_match_is_refused(text: str, says: str) -> None:
    """M5: the error says what is wrong with a pattern, and how it is written."""
    with pytest.raises(ConfigError, match=re.escape(says)):
        Pattern(text)


def test_many_parameters_in_a_segment_do_not_try_every_way() -> None:
    """M1: a client that sends a long segment does not hold the loop."""
    pattern = Pattern("/{a}-{b}-{c}-{d}-{e}/end")
    assert not pattern.takes("/" + "-" * 60_000)
    assert repr(pattern) == "Pattern('/{a}-{b}-{c}-{d}-{e}/end')"
