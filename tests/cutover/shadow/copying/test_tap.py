"""What the old app says passes on as it is."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from bridge.cutover.shadow.copying.kept import Kept
from bridge.cutover.shadow.copying.tap import AsgiTap, announces_body, tapped_wsgi
from bridge.types import Environ, Message, Receive, Scope, Send, StartResponse
from bridge.wsgi.file_wrapper import FileWrapper
from tests.support.in_process import Answer, http_scope, talk
from tests.support.shadows import answering, copies_of, shadowed


class Taken:
    """Takes answers, and has a place for the reasons why there is none."""

    def __init__(self) -> None:
        app = shadowed(answering(), answering(b"new"))
        self.copies = copies_of(app)
        self.route = app.table.routes[0]
        self.all: list[Kept] = []

    def keep(self, scope: Scope) -> Kept:
        return self.copies.keep(self.route, scope)

    def take(self, kept: Kept, *, in_loop: bool) -> None:
        self.all.append(kept)

    @property
    def reasons(self) -> list[str]:
        return [*self.copies.reasons().get("a", {})]


def tapped(app: Any, *received: Message, **scope: Any) -> tuple[Answer, Taken]:
    """What the client gets of an app, and what was taken."""
    taken = Taken()

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        kept = taken.keep(scope)
        kept.body_complete = not announces_body(scope)
        tap = AsgiTap(taken, kept, receive, send)
        await app(scope, tap.receive, tap.send)
        if not kept.over:
            kept.drop("unfinished")

    return asyncio.run(talk(outer, http_scope("/a/1", **scope), received)), taken


BODY = {"type": "http.request", "body": b"sent", "more_body": False}


def test_an_answer_is_taken_when_it_is_whole() -> None:
    """M10: the client has it by then; the body of the request is there as well."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": iter([(b"a", b"1")])})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    answer, taken = tapped(app, BODY, headers=[(b"content-length", b"4")])
    assert (answer.headers, answer.body) == ({"a": "1"}, b"onetwo")
    (kept,) = taken.all
    assert (kept.body, kept.response().body) == (b"sent", b"onetwo")
    assert kept.response().headers == (("a", "1"),)


async def raising(scope: Scope, receive: Receive, send: Send) -> None:
    """Breaks off."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})


async def told(scope: Scope, receive: Receive, send: Send) -> None:
    """Ends its answer as it hears that the client has left."""
    await receive()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body"})


async def sending_a_file(scope: Scope, receive: Receive, send: Send) -> None:
    """Leaves a file to its server."""
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.pathsend", "path": "/x"})


@pytest.mark.parametrize(
    ("app", "received", "headers", "reason"),
    [
        (raising, [], [], "unfinished"),
        (told, [{"type": "http.disconnect"}], [], "unfinished"),
        (sending_a_file, [], [], "file"),
        (answering(b"early"), [], [(b"transfer-encoding", b"chunked")], "request-body"),
        (answering(b"early"), [BODY], [(b"content-length", b"4")], "request-body"),
    ],
)
def test_there_may_be_nothing_to_take(
    app: Any, received: list[Message], headers: Any, reason: str
) -> None:
    """M10: the answer is not whole, or not to be seen; or the request's body was not read."""
    _, taken = tapped(app, *received, headers=headers)
    assert (taken.all, taken.reasons) == ([], [reason])


async def sending(*messages: Any) -> None:
    """Send these through a tap, to a server that takes anything."""
    taken = Taken()
    seen: list[Any] = []

    async def send(message: Any) -> None:
        seen.append(message)

    tap = AsgiTap(taken, taken.keep(http_scope("/a/1")), send, send)  # type: ignore[arg-type]
    for message in messages:
        await tap.send(message)
    assert seen == [*messages]
    assert (taken.all, taken.reasons) == ([], ["unfinished"])


@pytest.mark.parametrize(
    "messages",
    [
        [None],
        [{}],
        [{"type": "http.response.start"}],
        [{"type": "http.response.start", "status": 200, "headers": 1}],
        [{"type": "http.response.start", "status": 200}, {"type": "http.response.body", "body": 5}],
        [{"type": "http.response.body", "body": b""}],
    ],
)
def test_what_is_wrong_is_the_servers_to_judge(messages: list[Any]) -> None:
    """M10: it gets what the app has sent, and nothing is raised here."""
    asyncio.run(sending(*messages))


def test_no_length_is_no_body() -> None:
    """M10: as with most GETs."""
    for headers in ([], [(b"content-length", b"0")]):
        _, taken = tapped(answering(), headers=headers)
        assert len(taken.all) == 1


# ------------------------------------------------------------- WSGI


def run(app: Any) -> tuple[list[bytes], Taken]:
    """Call a WSGI app, iterate over its answer, and close it."""
    taken = Taken()
    written: list[bytes] = []

    def start_response(status: str, headers: Any, *exc_info: Any) -> Callable[[bytes], object]:
        return written.append

    result = tapped_wsgi(app, taken.keep, taken)({"asgi.scope": http_scope("/a/1")}, start_response)
    try:
        written.extend(result)
    finally:
        getattr(result, "close", bool)()
    return written, taken


def as_list(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("A", "1")])
    return [b"one", b"two"]


def as_generator(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("A", "1")])
    yield b"one"
    yield b"two"


def as_writer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", [("A", "1")])
    write(b"one")
    return (b"two",)


def after_an_error(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("500 No", [])
    start_response("200 OK", [("A", "1")], (None, None, None))  # type: ignore[arg-type]
    return [b"onetwo"]


@pytest.mark.parametrize("app", [as_list, as_generator, as_writer, after_an_error])
def test_answers_of_wsgi_apps_are_taken(app: Any) -> None:
    """M10: in whatever way they come."""
    written, taken = run(app)
    assert b"".join(written) == b"onetwo"
    (kept,) = taken.all
    answer = kept.response()
    assert (answer.status, answer.headers, answer.body) == (200, (("a", "1"),), b"onetwo")


def breaking_off(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [])
    yield b"one"
    raise ValueError("broken")


def failing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    raise ValueError("broken")


@pytest.mark.parametrize("app", [breaking_off, failing])
def test_what_breaks_off_is_not_taken(app: Any) -> None:
    """M10: the server sees the error as ever."""
    taken: list[Taken] = []
    with pytest.raises(ValueError, match="broken"):
        taken.append(run(app)[1])
    assert taken == []


def test_a_client_that_leaves_and_a_file_are_told() -> None:
    """M10: the server closes what is left; a file it sends by itself; text is an error."""
    taken = Taken()
    scope = {"asgi.scope": http_scope("/")}
    result: Any = tapped_wsgi(as_generator, taken.keep, taken)(scope, lambda *args: bool)  # type: ignore[arg-type]
    next(iter(result))
    result.close()
    assert (taken.all, taken.reasons) == ([], ["unfinished"])

    def file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return FileWrapper(io.BytesIO(b"x"))

    def text(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [])
        return ["text"]

    def fields_once(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", iter([("a", "1")]))  # type: ignore[arg-type]
        return [b"x"]

    def no_start(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return [b"x"]

    for app in (fields_once, no_start):
        assert run(app)[1].reasons == ["unfinished"]
    assert run(file)[1].reasons == ["file"]
    assert run(text)[1].reasons == ["unfinished"]
