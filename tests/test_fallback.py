"""Try the new app, and if it has no route, the old one (D5)."""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bridge.asgi.lifespan import Lifespan
from bridge.dispatcher import Dispatcher
from bridge.errors import ConfigError, LifespanFailed, NotOnAsyncio, UnsupportedScope
from bridge.fallback import Fallback
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.in_process import http, http_scope, talk, websocket

START = "http.response.start"
BODY = "http.response.body"


async def read_all(receive: Receive) -> bytes:
    """The body that an app gets."""
    body = b""
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        body += message["body"]
        if not message["more_body"]:
            return body


def answers(status: int, text: bytes = b"", *, read: bool = False) -> ASGIApp:
    """An app that answers with this status, after reading the body or without."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_all(receive) if read else b""
        await send({"type": START, "status": status, "headers": [(b"x-by", text)]})
        await send({"type": BODY, "body": text, "more_body": True})
        await send({"type": BODY, "body": body})

    return app


@pytest.mark.parametrize("status", [404, 405])
def test_a_refusal_is_dropped_whole_and_the_next_app_asked(status: int) -> None:
    """D5: nothing of a 404 or 405 is seen, fields and body included."""
    answer = http(Fallback([answers(status, b"new"), answers(200, b"old")]), "/")
    assert (answer.status, answer.headers, answer.body) == (200, {"x-by": "old"}, b"old")


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 410, 500, 503])
def test_any_other_answer_stands(status: int) -> None:
    """D5: only 404 and 405 mean that there is no route."""
    assert http(Fallback([answers(status, b"new"), answers(200, b"old")]), "/").body == b"new"


def test_the_last_answer_stands_whatever_it_is() -> None:
    """D5: when all refuse, the client sees the last one's refusal."""
    apps = [answers(404, b"a"), answers(404, b"b"), answers(405, b"c")]
    answer = http(Fallback(apps), "/")
    assert (answer.status, answer.body) == (405, b"c")


@pytest.mark.parametrize("size", [0, 1, 65536, 1_000_000])
def test_a_body_that_was_read_is_read_again(size: int) -> None:
    """D5: each app gets the whole body, even if it is larger than what is kept in memory."""
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    pieces = [body[at : at + 50_000] for at in range(0, size, 50_000)] or [b""]
    chain = Fallback([answers(404, read=True), answers(405, read=True), answers(200, read=True)])
    assert http(chain, "/", pieces, method="POST").body == body


@given(st.lists(st.binary(max_size=4), min_size=1), st.lists(st.integers(0, 6), max_size=3))
def test_any_part_read_by_any_app_is_not_lost(pieces: list[bytes], reads: list[int]) -> None:
    """D5: however a body is cut, and however much of it each app reads before it refuses."""

    def reader(count: int) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            for _ in range(min(count, len(pieces))):
                if not (await receive())["more_body"]:
                    break
            await send({"type": START, "status": 404})
            await send({"type": BODY})

        return app

    chain = Fallback([*map(reader, reads), answers(200, read=True)])
    assert http(chain, "/", pieces).body == b"".join(pieces)


def test_a_message_that_the_refusing_app_waits_for_goes_to_the_next() -> None:
    """D5: an app that refuses while another of its tasks reads loses nothing, and hangs nothing."""
    told: list[Message] = []

    async def new(scope: Scope, receive: Receive, send: Send) -> None:
        waiting = asyncio.create_task(receive())
        await asyncio.sleep(0)
        await send({"type": START, "status": 404})
        await send({"type": BODY})
        told.extend([await waiting, await receive()])

    async def slowly(scope: Scope, receive: Receive, send: Send) -> None:
        await Fallback([new, answers(200, read=True)])(scope, receive, send)

    sent: list[Message] = []

    async def run() -> None:
        come = asyncio.Event()

        async def receive() -> Message:
            await come.wait()
            return {"type": "http.request", "body": b"late", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        task = asyncio.create_task(slowly(http_scope("/"), receive, send))
        while len(told) < 2:
            await asyncio.sleep(0)
        come.set()
        await task

    asyncio.run(run())
    assert told == [{"type": "http.disconnect"}] * 2
    assert sent[-1]["body"] == b"late"


def test_a_client_that_is_gone_is_gone_for_every_app() -> None:
    """D5: a disconnect that one app has seen, the next one sees, too."""

    def watch(status: int) -> ASGIApp:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert (await receive())["body"] == b"half"
            assert (await receive())["type"] == "http.disconnect"
            await send({"type": START, "status": status})
            await send({"type": BODY})

        return app

    half = {"type": "http.request", "body": b"half", "more_body": True}
    chain = Fallback([watch(404), watch(405), watch(200)])
    answer = asyncio.run(talk(chain, http_scope("/"), [half, {"type": "http.disconnect"}]))
    assert answer.status == 200


def test_early_hints_go_out_at_once() -> None:
    """D5: a hint is not an answer: it is passed on, and the refusal after it counts."""

    async def hinting(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.early_hint", "links": []})
        await answers(404)(scope, receive, send)

    messages = http(Fallback([hinting, answers(200)]), "/").messages
    assert [message["type"] for message in messages[:2]] == ["http.response.early_hint", START]


def test_an_error_is_not_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    """D5: an exception before the answer is the client's 500; after a refusal it is only logged."""

    async def raises(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("bug")

    async def refuses_and_raises(scope: Scope, receive: Receive, send: Send) -> None:
        await answers(404)(scope, receive, send)
        raise ValueError("bug in a background task")

    with pytest.raises(ValueError, match="bug"):
        http(Fallback([raises, answers(200)]), "/")
    assert http(Fallback([refuses_and_raises, answers(200, b"old")]), "/").body == b"old"
    assert "bug in a background task" in caplog.text


# ------------------------------------------------------------- with frameworks


async def new_page(request: Request) -> Response:
    return PlainTextResponse("new")


def old_site() -> flask.Flask:
    site = flask.Flask("old")

    @site.route("/<path:page>", methods=["GET", "POST"])
    def page(page: str) -> str:
        seen = hashlib.sha256(flask.request.get_data()).hexdigest()[:8]
        return f"old {page} {flask.request.method} {seen}"

    return site


def test_a_site_moves_route_by_route() -> None:
    """D5: Starlette before Flask, as the dispatcher's fallback."""
    new = Starlette(routes=[Route("/moved", new_page, methods=["GET"])])
    app = Dispatcher({"/x": answers(200, b"mounted")}, fallback=[new, old_site()])
    body = b"y" * 200_000
    digest = hashlib.sha256(body).hexdigest()[:8]
    assert http(app, "/moved").body == b"new"
    assert http(app, "/other").body.startswith(b"old other GET")
    answer = http(app, "/moved", [body], method="POST", headers=[(b"content-length", b"200000")])
    assert answer.body.decode() == f"old moved POST {digest}"
    assert http(app, "/x").body == b"mounted"


def test_the_order_may_be_the_other_way_round() -> None:
    """D5: a WSGI app may be asked first."""
    old = flask.Flask("old")
    new = Starlette(routes=[Route("/new", new_page)])
    assert http(Fallback([old, new]), "/new").body == b"new"


# ------------------------------------------------------------- WebSockets, lifespan


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": (await receive())["text"]})


async def closes(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})


async def says_404(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.http.response.start", "status": 404})
    await send({"type": "websocket.http.response.body", "body": b"no"})
    gone = {"type": "websocket.disconnect", "code": 1006}
    assert await receive() == gone


async def says_401(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.http.response.start", "status": 401})


async def raises_on_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("only HTTP here")


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize(
    "first", [closes, says_404, raises_on_websocket, returns], ids=lambda app: app.__name__
)
def test_a_refused_websocket_goes_to_the_next_app(first: ASGIApp) -> None:
    """D5: closed before accept, 404, an exception, silence: the next app gets the handshake."""
    hello: Message = {"type": "websocket.receive", "text": "hello"}
    accept, echoed = websocket(Fallback([first, echo]), "/", hello)
    assert (accept["type"], echoed["text"]) == ("websocket.accept", "hello")


def test_an_app_that_takes_no_websocket_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """D5: in one line of the log; another exception has its traceback there."""

    async def unsupported(scope: Scope, receive: Receive, send: Send) -> None:
        raise UnsupportedScope("http only")

    websocket(Fallback([unsupported, closes]), "/")
    websocket(Fallback([raises_on_websocket, echo]), "/", {"type": "websocket.receive", "text": ""})
    declined, raised = caplog.records
    assert (declined.levelname, declined.exc_info) == ("WARNING", None)
    assert declined.message.endswith("takes no WebSocket (http only); the next app is asked")
    assert (raised.levelname, bool(raised.exc_info)) == ("ERROR", True)


@pytest.mark.parametrize("last", [closes, says_404, returns, raises_on_websocket])
def test_an_app_that_raises_while_no_other_takes_the_websocket(last: ASGIApp) -> None:
    """D5: its error is raised on, for the host's 500; the refusal of another hides nothing."""

    async def bug(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("only HTTP here")

    for apps in ([bug, last], [closes, bug, last], [closes, raises_on_websocket]):
        with pytest.raises(ValueError, match="only HTTP here"):
            websocket(Fallback(apps), "/")


def test_each_app_has_a_request_of_its_own() -> None:
    """D5: what a refusing app does to its scope and messages is not seen by the next."""
    seen: list[Any] = []

    async def spoils(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        message.clear()
        scope["headers"].append((b"x-user", b"admin"))
        scope["headers"][0][1] = b"evil"
        scope["extensions"]["http.response.push"] = {}
        scope["extensions"]["tls"]["client_cert_name"] = "admin"
        scope["asgi"]["spec_version"] = "9"
        scope["state"]["user"] = "admin"
        scope["path"] = "/admin"
        await send({"type": "http.response.start", "status": 404})

    async def tells(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        seen.append(await receive())
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    given: dict[str, Any] = {
        "headers": [[b"host", b"x"]],
        "extensions": {"tls": {"client_cert_name": None}},
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "state": {"user": None},
    }
    kept = copy.deepcopy(given)
    http(Fallback([spoils, spoils, tells]), "/x", [b"body"], **given)
    scope, message = seen
    assert {name: scope[name] for name in kept} == kept == given
    assert scope["path"] == "/x"
    assert message == {"type": "http.request", "body": b"body", "more_body": False}


def test_a_websocket_answer_that_is_no_refusal_stands() -> None:
    """D5: another status, and what comes after accept, is the first app's."""
    (answer,) = websocket(Fallback([says_401, echo]), "/")
    assert answer["status"] == 401

    async def accepts_and_closes(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})

    assert len(websocket(Fallback([accepts_and_closes, echo]), "/")) == 2


def test_every_app_of_a_chain_lives() -> None:
    """D3: each has its own lifespan and state; one that fails names itself."""

    def living(name: str, fail: bool) -> Starlette:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
            if fail:
                raise OSError("no database")
            yield {name: "up"}

        async def tell(request: Request) -> Response:
            return PlainTextResponse(",".join(sorted(request.scope["state"])))

        return Starlette(routes=[Route(f"/{name}", tell)], lifespan=lifespan)

    async def run(last: Callable[[], Any]) -> list[bytes]:
        chain = Fallback([living("a", False), last()])
        lifespan = Lifespan(chain, state={"host": "up"})
        await lifespan.startup()
        told = []
        for path in ("/a", "/b"):
            sent: list[Message] = []

            async def send(message: Message, sent: list[Message] = sent) -> None:
                sent.append(message)

            async def receive() -> Message:
                return {"type": "http.request", "body": b"", "more_body": False}

            await chain(http_scope(path, state=lifespan.state.copy()), receive, send)
            told.append(sent[-1]["body"])
        await lifespan.shutdown()
        return told

    assert asyncio.run(run(lambda: living("b", False))) == [b"a,host", b"b,host"]
    with pytest.raises(LifespanFailed, match="fallback app 2"):
        asyncio.run(run(lambda: living("b", True)))


def test_a_client_that_leaves_before_anything_is_sent_leaves_no_task() -> None:
    """D5: an app that is cancelled while it reads takes its reading with it."""

    async def run() -> None:
        begun = asyncio.Event()

        async def receive() -> Message:
            begun.set()
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

        async def send(message: Message) -> None:
            raise AssertionError(message)

        chain = Fallback([answers(404, read=True), answers(200)])
        task = asyncio.create_task(chain(http_scope("/"), receive, send))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert repr(chain).startswith("Fallback([")

    asyncio.run(run())


def test_on_another_loop_than_asyncios() -> None:
    """D5: a host that runs trio is told what to do."""
    call = Fallback([echo, echo])(http_scope("/"), None, None)  # type: ignore[arg-type]
    with pytest.raises(NotOnAsyncio, match="a fallback runs on asyncio"):
        call.send(None)  # type: ignore[attr-defined]


def test_a_chain_needs_an_app() -> None:
    """D5: an empty chain is refused at start-up."""
    with pytest.raises(ConfigError, match="at least one"):
        Fallback([])
