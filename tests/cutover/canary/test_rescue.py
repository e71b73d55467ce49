"""Requests that the new app fails, answered by the old one."""

from __future__ import annotations

import asyncio
from typing import Any

import fastapi
import flask
import pytest

from bridge.cutover.canary.rescue import can_rescue, rescue
from bridge.detect import as_asgi
from bridge.errors import AppError, ClientDisconnected, NotOnAsyncio
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.in_process import Answer, http_scope, talk, websocket_scope

START = "http.response.start"
BODY = "http.response.body"
WHOLE = {"type": "http.request", "body": b"", "more_body": False}


async def body_of(receive: Receive) -> bytes:
    """The body that an app gets."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    return body


async def old(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what it was asked."""
    body = await body_of(receive)
    await send({"type": START, "status": 200, "headers": [(b"x-by", b"old")]})
    await send({"type": BODY, "body": b"%s %s" % (scope["path"].encode(), body)})


def ask(new: ASGIApp, *received: Message, old: ASGIApp = old) -> tuple[Answer, bool, list[str]]:
    """Ask both; the answer, whether it was rescued, and what was told of the failure.

    The old app is no help if it says 404 or 405.
    """
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        failure = await rescue(
            *(new, old, scope, receive, (send, send)),
            lambda error: told.append(repr(error)),
            {404, 405}.__contains__,
        )
        if failure is not None:
            await failure.send(send)

    answer = asyncio.run(talk(app, http_scope("/x"), received or [WHOLE]))
    return answer, bool(told), told


def answers(status: int, *, then: Exception | None = None, first: Message | None = None) -> ASGIApp:
    """An app that answers so, and raises then."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if first is not None:
            await send(first)
        await send({"type": START, "status": status, "headers": [(b"x-by", b"new")]})
        await send({"type": BODY, "body": b"new"})
        if then is not None:
            raise then

    return app


def raises(error: Exception, *, read: bool = False) -> ASGIApp:
    """An app that raises, after it has read the body or without, and spoils its scope."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if read:
            await body_of(receive)
        scope["headers"].clear()
        scope["path"] = "/spoilt"
        raise error

    return app


@pytest.mark.parametrize("status", [200, 304, 404, 501, 502, 503])
def test_an_answer_stands(status: int) -> None:
    """M22: any status but 500 is the new app's word."""
    answer, rescued, told = ask(answers(status))
    assert (answer.status, answer.headers["x-by"], rescued, told) == (status, "new", False, [])


@pytest.mark.parametrize("read", [False, True])
def test_an_exception_before_the_first_byte_is_answered_by_the_old_app(read: bool) -> None:
    """M22: the old app gets the same request, whole, and nothing that the new one has spoilt."""
    pieces = [
        {"type": "http.request", "body": b"a" * 70_000, "more_body": True},
        {"type": "http.request", "body": b"b", "more_body": False},
    ]
    answer, rescued, told = ask(raises(ValueError("no"), read=read), *pieces)
    assert (answer.status, answer.headers["x-by"]) == (200, "old")
    assert answer.body == b"/x " + b"a" * 70_000 + b"b"
    assert (rescued, told) == (True, ["ValueError('no')"])


@pytest.mark.parametrize("error", [None, ValueError("what Starlette raises behind its 500")])
def test_a_500_is_an_exception_that_a_framework_has_caught(error: Exception | None) -> None:
    """M22: nothing of a 500 is sent, whether the framework raises behind it or not."""
    answer, rescued, told = ask(answers(500, then=error))
    assert (answer.headers["x-by"], answer.body, rescued) == ("old", b"/x ", True)
    assert told == [repr(error) if error else "AppError('it answered with 500')"]


def test_an_app_that_says_nothing_is_one_that_failed() -> None:
    """M22: it has broken the rules of ASGI, and the client gets an answer all the same."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    answer, rescued, told = ask(silent)
    assert (answer.headers["x-by"], rescued) == ("old", True)
    assert told == ["AppError('it ended without a response')"]


HINT = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}


def test_what_comes_before_a_response_is_of_the_app_that_answers() -> None:
    """M22: a hint waits for the response, and a client gets none of an app that has failed."""
    answer, rescued, _ = ask(answers(200, first=HINT))
    assert [each["type"] for each in answer.messages] == [HINT["type"], START, BODY]
    answer, rescued, _ = ask(answers(500, first=HINT))
    assert (answer.messages[0]["type"], answer.status, rescued) == (START, 200, True)
    other = {**HINT, "links": [b"</old.css>; rel=preload"]}
    answer, rescued, _ = ask(answers(500, first=HINT), old=answers(200, first=other))
    assert (answer.messages[0], rescued) == (other, True)


# ------------------------------------------------------------- the old app is no help


@pytest.mark.parametrize("status", [404, 405])
def test_the_failure_is_the_answer_if_the_old_app_has_no_view(status: int) -> None:
    """M22: the client gets the new app's own 500, and no 404 that hides it; nothing was rescued."""
    answer, rescued, told = ask(answers(500), old=answers(status, first=HINT))
    assert (answer.status, answer.headers["x-by"], answer.body) == (500, "new", b"new")
    assert (len(answer.messages), rescued, told) == (2, False, [])


@pytest.mark.parametrize(
    "new",
    [raises(ValueError("no")), answers(500, then=ValueError("no"))],
)
def test_what_the_new_app_raised_is_raised_then(new: ASGIApp) -> None:
    """M22: so that the host logs it, as without a rescue."""
    with pytest.raises(ValueError, match="no"):
        ask(new, old=answers(404))


def test_a_500_that_is_too_large_or_not_whole_is_not_kept() -> None:
    """M22: what was dropped of it is not sent in part."""

    def sends(*pieces: Message) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": START, "status": 500, "headers": []})
            for piece in pieces:
                await send({"type": BODY, **piece})

        return app

    for piece in ({"body": b"a" * 300_000}, {"body": b"a", "more_body": True}):
        with pytest.raises(AppError, match="it answered with 500"):
            ask(sends(piece), old=answers(404))
    kept = ask(sends({"body": b"a" * 200_000, "more_body": True}, {}), old=answers(404))[0]
    assert (kept.status, len(kept.body)) == (500, 200_000)


def test_what_the_old_app_raises_is_raised() -> None:
    """M22: before its answer; behind a refusal it is of no interest."""
    with pytest.raises(KeyError):
        ask(answers(500), old=raises(KeyError("old")))
    assert ask(answers(500), old=answers(404, then=KeyError("old")))[0].status == 500


def test_an_exception_after_the_first_byte_is_raised() -> None:
    """M22: half a response of one app is not continued by another one."""
    with pytest.raises(ValueError, match="late"):
        ask(answers(200, then=ValueError("late")))


@pytest.mark.parametrize("error", [ClientDisconnected("gone"), ValueError("it saw the client go")])
def test_nobody_is_asked_for_a_client_that_has_left(error: Exception) -> None:
    """M22: the old app does no work for nobody."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"
        raise error

    with pytest.raises(type(error)):
        ask(app, {"type": "http.disconnect"})


def test_what_the_new_app_leaves_behind_reads_nothing_more() -> None:
    """M22: a task of it that still waits for the client is told that it is over."""
    left: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        left.append(asyncio.ensure_future(receive()))
        await asyncio.sleep(0)
        left.append(receive)
        raise ValueError("no")

    async def both() -> None:
        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            sends = (send, send)
            await rescue(app, old, scope, receive, sends, lambda error: None, lambda status: False)
            assert (await left[0])["type"] == "http.disconnect"
            assert (await left[1]())["type"] == "http.disconnect"

        answer = await talk(asked, http_scope("/x"), [WHOLE])
        assert answer.body == b"/x "

    asyncio.run(both())


def _flask() -> Any:
    app = flask.Flask(__name__)
    app.logger.disabled = True

    @app.get("/x")
    def fail() -> str:
        raise ValueError("no")

    return app


def _fastapi() -> Any:
    app = fastapi.FastAPI()

    @app.get("/x")
    async def fail() -> str:
        raise ValueError("no")

    return app


@pytest.mark.parametrize(("make", "said"), [(_flask, "AppError"), (_fastapi, "ValueError('no')")])
def test_what_raises_in_frameworks_is_rescued(make: Any, said: str) -> None:
    """M22: Flask answers 500 and says no more, FastAPI answers 500 and raises."""
    answer, rescued, told = ask(as_asgi(make()))
    assert (answer.status, answer.headers["x-by"], rescued) == (200, "old", True)
    assert told[0].startswith(said)


@pytest.mark.parametrize(
    ("scope", "can"),
    [
        *((http_scope("/", method), True) for method in ("GET", "HEAD", "OPTIONS")),
        *((http_scope("/", method), False) for method in ("POST", "PUT", "DELETE", "PROPFIND")),
        (websocket_scope("/"), False),
    ],
)
def test_only_safe_methods_are_asked_twice(scope: Scope, can: bool) -> None:
    """M22: what an unsafe method has done is not done again."""
    assert can_rescue(scope) is can


def test_other_loops_are_refused_in_words() -> None:
    """M22: it waits for two things at once, on asyncio."""
    nothing: Any = None
    asked = rescue(old, old, http_scope("/"), nothing, (nothing, nothing), print, nothing)
    with pytest.raises(NotOnAsyncio, match="a rescue runs on asyncio"):
        asked.send(None)
