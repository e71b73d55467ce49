"""Whole responses compared."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.cutover.shadow.compare import Comparison, compare
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.rules import parse_rules

REQUEST = RecordedRequest("GET", "/")


def response(body: bytes | str, kind: str | None = "application/json", cut: bool = False):
    """A response with a body."""
    data = body if isinstance(body, bytes) else body.encode()
    return RecordedResponse(200, (("content-type", kind),) if kind else (), data, cut)


def told(comparison: Comparison) -> list[str]:
    """What differs, for people."""
    return [str(each) for each in comparison.differences]


def compared(old: RecordedResponse, new: RecordedResponse, *rules: str, noise: Any = ()):
    """The comparison under these rules."""
    these = parse_rules(rules).rules_for("", "/")
    return compare(REQUEST, old, new, these, frozenset(noise))


def test_json_is_compared_by_structure() -> None:
    """M11: JSON bodies are compared by structure, with rules and noise."""
    old = response('{"items": [{"price": 9.90, "id": 1, "at": null}]}')
    new = response('{"items": [{"id": 2, "price": 9.9}]}')
    found = compared(old, new)
    assert found.how == "json"
    assert told(found) == [
        "$.items[0].price: 9.90 -> 9.9",
        "$.items[0].id: 1 -> 2",
        "$.items[0].at: null -> nothing",
    ]
    assert compared(old, new, "numbers", "null=missing", "$..id").equal
    assert told(compared(old, new, noise={"$.items[*].price", "$.items[*].at"})) == [
        "$.items[0].id: 1 -> 2"
    ]
    assert compared(old, new, noise={"$.items"}).equal
    assert compared(old, new, "body").equal


def test_what_says_json_and_is_none_is_text() -> None:
    """M11: a body that is no JSON is compared as text."""
    found = compared(response("[1, 2"), response("[1, 3"))
    assert (found.how, told(found)) == ("text", ["text[1]: 2 -> 3"])
    deep = response("[" * 200_000)
    assert compared(deep, response("[" * 200_001)).how == "text"


def test_text_is_compared_word_by_word() -> None:
    """M11: white space and ends of lines make no difference in text."""
    old, new = response("<p>a\r\n  b</p>", "text/html"), response("<p>a b</p>\n", "text/html")
    assert compared(old, new) == Comparison(how="text")
    other = response("<p>a v=2</p>", "text/html")
    assert told(compared(old, other)) == ["text[1]: b</p> -> v=2</p>"]
    assert compared(
        response("a v=1", "text/css"), response("a v=2", "text/css"), "text:/v=./"
    ).equal


def test_other_bodies_are_bytes() -> None:
    """M11: all else is compared as bytes."""
    old, new = response(b"\x89PNG", "image/png"), response(b"\x89PNX", "image/png")
    found = compared(old, new)
    assert (found.how, told(found)) == ("bytes", ["body: 4 bytes -> 4 bytes, other from byte 3 on"])
    assert compared(old, new, noise={"body"}).equal
    assert compared(old, old).equal


def test_a_body_on_one_side_only() -> None:
    """M11: a body that one side does not have is a difference."""
    full, empty = response("[]"), response("")
    assert told(compared(full, empty)) == ["body: 2 bytes -> nothing"]
    assert told(compared(empty, full)) == ["body: nothing -> 2 bytes"]
    assert compared(empty, empty) == Comparison()
    assert compared(response("", cut=True), full).equal
    assert compared(full, response("", cut=True)).equal


def test_heads_and_bodies_are_told_together() -> None:
    """M11: differences of the head come first; a HEAD request has no body to compare."""
    old, new = response("a", "text/plain"), response("b", None)
    assert told(compared(old, new)) == [
        "header:content-type: text/plain -> nothing",
        "text[0]: a -> b",
    ]
    head = compare(RecordedRequest("HEAD", "/"), old, new)
    assert told(head) == ["header:content-type: text/plain -> nothing"]
    assert told(compared(old, new, noise={"header:content-type", "text[0]"})) == []


def test_bodies_of_redirects_are_not_compared() -> None:
    """M11: nobody sees the bodies of redirects, which frameworks write for themselves."""
    old = RecordedResponse(302, (("location", "/a"), ("content-type", "text/html")), b"<p>moved")
    new = RecordedResponse(302, (("location", "/a"),))
    assert compared(old, new).equal
    assert not compared(old, RecordedResponse(302, (("location", "/b"),))).equal
    assert not compared(old, RecordedResponse(302, (), b"")).equal


def test_a_compressed_body_equals_the_plain_one() -> None:
    """M11: content codings are undone before bodies are compared."""
    fields = (("content-type", "application/json"), ("content-encoding", "gzip"))
    old = RecordedResponse(200, fields, gzip.compress(b'{"a": 1}'))
    assert compared(old, response('{"a":1}')) == Comparison(how="json")
    unknown = RecordedResponse(200, (fields[0], ("content-encoding", "br")), b"x")
    assert "br, which cannot be read" in told(compared(unknown, response("[]")))[0]


def test_cut_bodies_are_compared_as_far_as_they_go() -> None:
    """M11: a body of which only the beginning is there is compared up to there, and says so."""
    whole = json.dumps({"b": [1, 2, 3, {"x": 1}], "a": "text", "c": {"d": 1}})
    sorted_keys = json.dumps(json.loads(whole), sort_keys=True)
    for length in range(1, len(whole)):
        found = compared(response(whole[:length], cut=True), response(sorted_keys))
        assert (told(found), found.truncated) == ([], True)
    found = compared(response(whole[:30], cut=True), response(whole.replace("2", "9")))
    assert told(found) == ["$.b[1]: 2 -> 9"]
    assert compared(response("a b", "text/plain", cut=True), response("a bc", "text/plain")).equal


BODIES = st.binary(max_size=40) | st.text(max_size=30).map(str.encode)
KINDS = st.sampled_from(["application/json", "text/html; charset=utf-16", "image/png", None])


@given(BODIES, KINDS, st.booleans())
def test_a_body_equals_itself(body: bytes, kind: str | None, cut: bool) -> None:
    """M11: whatever a body is, it equals itself."""
    assert compared(response(body, kind, cut), response(body, kind, cut)).equal


@given(BODIES, KINDS, st.booleans(), BODIES, KINDS, st.booleans())
def test_a_comparison_is_symmetric(
    one: bytes, kind: str | None, cut: bool, other: bytes, kind2: str | None, cut2: bool
) -> None:
    """M11: if old differs from new, new differs from old, at the same places."""
    old, new = response(one, kind, cut), response(other, kind2, cut2)
    there, back = compared(old, new), compared(new, old)
    assert {each.place for each in there.differences} == {each.place for each in back.differences}
    assert there.equal == back.equal


@pytest.mark.parametrize("size", [1024 * 1024])
def test_a_large_body_is_compared(size: int) -> None:
    """M11: a MiB of JSON and of text is compared."""
    items = [{"id": number, "name": "x" * 40} for number in range(size // 60)]
    old = response(json.dumps(items))
    items[-1]["name"] = "y"
    found = compared(old, response(json.dumps(items)))
    assert [each.place for each in found.differences] == [f"$[{len(items) - 1}].name"]
    text = response(json.dumps(items), "text/plain")
    assert len(compared(response(old.body, "text/plain"), text).differences) == 1


def test_compressed_bodies_that_are_equal_are_not_undone() -> None:
    """M11: they are compared as they were sent; others as far as `most_decoded` goes."""
    request = RecordedRequest("GET", "/")

    def packed(text: bytes) -> RecordedResponse:
        fields = (("content-type", "text/plain"), ("content-encoding", "gzip"))
        return RecordedResponse(200, fields, gzip.compress(text, mtime=0))

    one, other = packed(b"a " * 5_000 + b"b"), packed(b"a " * 5_000 + b"c")
    assert not compare(request, one, other).equal
    found = compare(request, one, other, most_decoded=1_000)
    assert (found.equal, found.truncated, found.how) == (True, True, "text")
    found = compare(request, one, one, most_decoded=1_000)
    assert (found.equal, found.truncated, found.how) == (True, False, "text")
