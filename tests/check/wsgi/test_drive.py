"""The requests to a WSGI app, and the threads in which they run (M51)."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from tests.support.checking import checked_app, ids

HEAD = [("Content-Type", "text/plain")]


class Recorder:
    """Answers 404 but at /, and knows what it was sent."""

    def __init__(self, status: str = "404 Not Found") -> None:
        self.status = status
        self.seen: list[tuple[str, str, int]] = []

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        method = environ["REQUEST_METHOD"]
        self.seen.append((method, path, threading.get_ident()))
        environ["wsgi.input"].read(10)
        start_response("200 OK" if path == "/" else self.status, HEAD)
        return [b"" if method == "HEAD" else b"answer"]


def test_nothing_is_posted_where_something_may_be() -> None:
    """M51: an app that answers every path is asked by safe methods only."""
    app = Recorder("200 OK")
    report = checked_app(app)
    assert {method for method, _, _ in app.seen} == {"GET", "HEAD", "OPTIONS"}
    assert "No POST was sent" in report.apps[0].remarks[0]


def test_bodies_go_where_nothing_is() -> None:
    """M51: to the path that cannot exist, if the app says so; and to none of the others."""
    app = Recorder()
    checked_app(app, paths=("/", "/shop"))
    posted = {path for method, path, _ in app.seen if method == "POST"}
    assert len(posted) == 1
    assert posted.pop().startswith("/bridge-check-")


def test_bodies_go_behind_a_slash_that_is_added() -> None:
    """M51: as Django adds one, where a pattern takes all paths that end with it."""
    posted = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not path.endswith("/"):
            start_response("301 Moved Permanently", [("Location", f"{path}/")])
            return [b""]
        if environ["REQUEST_METHOD"] == "POST":
            posted.append(path)
        start_response("200 OK" if path == "/" else "404 Not Found", HEAD)
        return [b""]

    report = checked_app(app)
    assert {path[:14] + path[-1] for path in posted} == {"/bridge-check-/"}
    assert "/ (a path that cannot exist)" in report.apps[0].sent


def test_bodies_go_to_unsafe_paths() -> None:
    """M51: those that the user has given, and only those."""
    app = Recorder("200 OK")
    checked_app(app, unsafe=("/cart",))
    assert {path for method, path, _ in app.seen if method == "POST"} == {"/cart"}


def test_two_threads_run_the_app() -> None:
    """M51: none of them the one that checks."""
    app = Recorder()
    checked_app(app)
    idents = {ident for _, _, ident in app.seen}
    assert len(idents) >= 2
    assert threading.get_ident() not in idents


@pytest.mark.parametrize("raises", [ValueError, SystemExit])
def test_errors_of_any_kind(raises: type[BaseException]) -> None:
    """M51: also those that would end a program."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        raise raises("oh")

    assert ids(checked_app(app)) == {"raises"}


def test_the_validator_has_a_say() -> None:
    """M51: in what the server would not mind."""

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        start_response(status="200 OK", headers=HEAD)
        return [b"named"]

    assert ids(checked_app(app)) == {"validator"}
