"""One call of a WSGI app; the apps of `test_awkward.py` show what is found (M51)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

from bridge.check.findings import Findings
from bridge.check.requests import Request
from bridge.check.wsgi.call import MOST_PIECES, Call, validated
from tests.support.apps.awkward import pep3333

GET = Request("GET", "/")


def call(app: Any, request: Request = GET) -> tuple[Any, list[str]]:
    """The answer, and the ids of what was found."""
    findings = Findings()
    answer = Call(app, request, findings)()
    return answer, [each.id for each in findings]


def test_a_good_app() -> None:
    """M51: its status and size are known, and the validator finds nothing about us."""
    for app in (pep3333.good, validator(pep3333.good), validated(pep3333.good)):
        answer, found = call(app)
        assert (answer.status, answer.size, answer.error, found) == (200, 5, None, [])


def test_an_error_may_replace_the_head() -> None:
    """M51: with exc_info, and before the first byte; afterwards the error is raised."""

    def replaces(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            raise KeyError("k")
        except KeyError:
            start_response("500 Oh", [], sys.exc_info())
        return [b"sorry"]

    def too_late(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"begun"
        try:
            raise KeyError("k")
        except KeyError:
            start_response("500 Oh", [], sys.exc_info())

    answer, found = call(replaces)
    assert (answer.status, found) == (500, [])
    answer, found = call(too_late)
    assert isinstance(answer.error, KeyError)


def test_close_is_called() -> None:
    """M51: at the end, when a client leaves, and after an error; what it raises is told."""
    closed: list[str] = []

    class Response:
        def __init__(self, environ: Any, start_response: Any) -> None:
            start_response("200 OK", [])

        def __iter__(self) -> Iterator[bytes]:
            yield b"one"
            yield b"two"

        def close(self) -> None:
            closed.append("closed")
            raise OSError("twice")

    answer, found = call(Response)
    assert (answer.size, found) == (6, ["close-raises"])
    answer, _ = call(Response, Request("GET", "/", leaves=True))
    assert answer.size == 3
    assert closed == ["closed", "closed"]


def test_a_stream_is_left() -> None:
    """M51: after some pieces."""

    def ticks(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        while True:
            yield b"tick"

    answer, found = call(ticks)
    assert found == ["endless"]
    assert answer.size == 4 * MOST_PIECES


def test_what_is_written_must_be_bytes() -> None:
    """M51: write() takes nothing else."""

    def writes(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])("text")
        return []

    assert call(writes)[1] == ["str-body", "write"]
