"""What is sent, and what is not (M51)."""

from __future__ import annotations

from bridge.check.requests import Options, Request, posting, reading, summary

SAFE = {"GET", "HEAD", "OPTIONS"}


def test_what_reads_uses_safe_methods_only() -> None:
    """M51: whatever the paths are."""
    sent = list(reading(["/", "/shop"], "/none"))
    assert {each.method for each in sent} == SAFE
    assert {each.path for each in sent} == {"/", "/shop", "/none"}
    assert not any(each.body for each in sent)


def test_bodies_of_all_kinds_are_posted() -> None:
    """M51: form, JSON, chunks without a length, 1 MiB; one that breaks off only to a real view."""
    there = list(posting("/cart", there=True))
    assert [each.about for each in there] == ["form", "JSON", "chunks", "1 MiB", "and leave"]
    assert there[-1].leaves
    assert [each.leaves for each in posting("/none", there=False)] == [False] * 4


def test_scopes() -> None:
    """M51: are those of a server: place, query, length or chunks, and the fields of the user."""
    request = Request(
        "POST", "/a?b=c", body=b"abc", content_type="text/plain", fields=(("host", "x"),)
    )
    scope = request.scope("/shop")
    assert (scope["path"], scope["root_path"], scope["query_string"]) == (
        "/shop/a",
        "/shop",
        b"b=c",
    )
    fields = dict(scope["headers"])
    assert fields[b"content-length"] == b"3"
    assert fields[b"host"] == b"x"
    chunked = dict(Request("POST", "/", body=b"abc", chunked=True).scope()["headers"])
    assert b"content-length" not in chunked
    assert chunked[b"transfer-encoding"] == b"chunked"


def test_each_run_has_a_path_of_its_own_that_cannot_exist() -> None:
    """M51: nobody can have made a view for it."""
    assert Options().missing != Options().missing
    assert Options().missing.startswith("/bridge-check-")


def test_what_was_sent_is_said() -> None:
    """M51: by path, with how often; the path that cannot exist is called so."""
    sent = [*reading(["/"], "/none"), *posting("/none", there=False)]
    assert summary(sent, "/none") == (
        "3 x GET, HEAD, OPTIONS /; GET, 4 x POST /none (a path that cannot exist)"
    )
    assert str(sent[1]) == "GET / (again)"
    assert sent[1].where == "GET /"
