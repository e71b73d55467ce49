"""One HTTP request on a worker: what its app receives and sends (L9, L10, L13)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.gateway.back.app_session import HttpSession
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import CANCEL, END, TAKEN
from bridge.gateway.session import SessionLost
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.sessions import Ends

START: Message = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"1")]}
END_OF_BODY: Message = {"type": "http.response.body", "body": b"", "more_body": False}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


def upload(data: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": data, "more_body": more}


class Run:
    """An app that runs for one request; `task` is its own."""

    def __init__(self, app: ASGIApp, events: list[Message] | None = None, **scope: Any) -> None:
        about: Scope = {"type": "http", "method": "GET", "path": "/a", "headers": [], **scope}
        self.ends = Ends(about, [upload()] if events is None else events)
        self.session = HttpSession(self.ends.worker, self.ends.scope)
        self.task = asyncio.create_task(self.session.run(app, {"pool": 1}))

    async def answer(self) -> list[Message]:
        return await asyncio.wait_for(self.ends.answer(), 20)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await test()

    asyncio.run(main())


async def until(holds: Callable[[], object]) -> None:
    """Let the loop turn until it holds."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0)


async def quiet(turns: int = 200) -> None:
    """Let the loop turn so often that all which can happen by now has happened."""
    for _ in range(turns):
        await asyncio.sleep(0)


# ------------------------------------------------------------- the plain way


def test_a_response_goes_to_the_gateway_as_the_app_sends_it() -> None:
    """L9: TAKEN first, then the messages, checked, and the end without an error."""
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["state"], scope["path"], await receive()))
        scope["state"]["pool"] = 2  # the request's own
        await send(START)
        await send({"type": "http.response.body", "body": bytearray(b"hello")})

    async def test() -> None:
        ran = Run(app)
        head, piece = await ran.answer()
        assert head == {**START, "headers": [(b"x", b"1")]}
        assert piece == body(b"hello")
        assert ran.ends.ended_with is None
        assert [kind for kind, _ in ran.ends.written][0::3] == [TAKEN, END]
        assert seen == [({"pool": 2}, "/a", upload())]

    run(test)


def test_the_head_leaves_with_the_first_piece() -> None:
    """L9: as on our server; an app that fails between the two has sent nothing."""
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await go_on.wait()
        await send(body(b"", more=True))
        await send(body(b"x"))

    async def test() -> None:
        ran = Run(app)
        await quiet()
        assert [kind for kind, _ in ran.ends.written] == [TAKEN]
        go_on.set()
        assert [each["type"][14:] for each in await ran.answer()] == ["start", "body", "body"]

    run(test)


# ------------------------------------------------------------- credits


def test_a_slow_reader_slows_the_app() -> None:
    """L9: not more than a window and one piece is under way; then `send` waits."""
    piece, sent = b"x" * 16384, 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(START)
        for _ in range(64):
            await send(body(piece, more=True))
            sent += len(piece)
        await send(END_OF_BODY)

    async def test() -> None:
        ran = Run(app)
        await quiet()
        assert 0 < sent <= WINDOW + len(piece)
        whole = b"".join(each.get("body", b"") for each in await ran.answer())
        assert len(whole) == 64 * len(piece)
        assert ran.ends.ended_with is None

    run(test)


def test_a_slow_app_slows_the_upload() -> None:
    """L9: the gateway may send a window before the app has taken anything."""
    read = asyncio.Event()
    got = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal got
        await read.wait()
        while True:
            event = await receive()
            got += len(event["body"])
            if not event["more_body"]:
                break
        await send(START)
        await send(END_OF_BODY)

    async def test() -> None:
        ran = Run(app, [upload(b"first", more=True)], method="POST")
        sent = 0

        async def client() -> None:
            nonlocal sent
            for at in range(64):
                await ran.ends.gateway.send(upload(b"y" * 16384, more=at < 63))
                sent += 16384

        sending = asyncio.create_task(client())
        await quiet()
        assert 0 < sent <= WINDOW + 16384
        read.set()
        await ran.answer()
        await sending
        assert got == 64 * 16384 + 5

    run(test)


# ------------------------------------------------------------- the app's mistakes


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([body(b"")], "'http.response.body' was sent before the response starts"),
        ([START, START], "was sent in the body, when"),
        ([START, END_OF_BODY, END_OF_BODY], "after the end"),
        ([{**START, "status": 99}], "status"),
        ([{**START, "headers": [("x", "y")]}], "x"),
        ([START, {"type": "http.response.body", "body": "text"}], "body is str"),
        ([{"type": "http.response.started"}], "unknown message type"),
        ([17], "an ASGI message is a dict"),
        ([{"type": "http.response.early_hint", "links": []}], "is not among the extensions"),
        ([START, {"type": "http.response.pathsend", "path": "/x"}], "is not among the extensions"),
    ],
)
def test_what_the_app_may_not_send_is_raised_in_it(messages: list[Any], said: str) -> None:
    """L13 A20: by the grammar of ASGI, in `send`, and nothing of it leaves."""
    caught: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages[:-1]:
            await send(message)
        with pytest.raises(IllegalMessage) as raised:
            await send(messages[-1])
        caught.append(str(raised.value))

    async def test() -> None:
        ran = Run(app, extensions={"http.response.pathsend": {}})
        await ran.answer()
        assert said in caught[0]

    run(test)


def test_extensions_that_work_between_processes() -> None:
    """L9: early hints and trailers go through, if the gateway's host offers them."""
    hint = {"type": "http.response.early_hint", "links": (b"</a>", b"</b>")}
    trailers = {"type": "http.response.trailers", "headers": [(b"sum", b"1")]}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert set(scope["extensions"]) == {"http.response.early_hint", "http.response.trailers"}
        await send(hint)
        await send({**START, "trailers": True})
        await send(body(b"x"))
        await send(trailers)

    async def test() -> None:
        offered = ("http.response.early_hint", "http.response.trailers", "http.response.debug")
        ran = Run(app, extensions={name: {} for name in offered})
        first, head, _, last = await ran.answer()
        assert first["links"] == [b"</a>", b"</b>"]
        assert head["trailers"] is True
        assert last["headers"] == [(b"sum", b"1")]
        assert ran.ends.ended_with is None

    run(test)


@pytest.mark.parametrize(
    ("messages", "how"),
    [([], "without a response"), ([START], "with its response unfinished")],
)
def test_a_response_that_is_not_there_is_said_on_both_sides(
    caplog: pytest.LogCaptureFixture, messages: list[Message], how: str
) -> None:
    """L13: logged once where the app is; the gateway is told, and answers."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    async def test() -> None:
        ran = Run(app)
        assert await ran.answer() == []
        assert ran.ends.ended_with == f"the app returned {how}"

    run(test)
    assert [record.getMessage() for record in caplog.records] == [
        f"the app returned {how} in GET /a"
    ]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), asyncio.CancelledError()])
def test_an_app_that_raises(caplog: pytest.LogCaptureFixture, error: BaseException) -> None:
    """L13 S14: logged once with its traceback, told to the gateway; the worker goes on."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async def test() -> None:
        ran = Run(app)
        assert await ran.answer() == []
        assert ran.ends.ended_with == f"the app raised {type(error).__name__}: {error}"

    run(test)
    (record,) = caplog.records
    assert record.getMessage() == "the app raised in GET /a"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


# ------------------------------------------------------------- the client leaves


def test_an_app_that_waits_hears_that_its_client_has_left() -> None:
    """L10 S12: `receive` gives the disconnect, as often as it is asked; `send` raises after it."""
    heard: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == upload()
        await send(START)
        heard.append(await receive())
        heard.append(await receive())
        with pytest.raises(ClientDisconnected) as raised:
            await send(body(b"too late"))
        heard.append(raised.value.status)
        with pytest.raises(ClientDisconnected):
            await send(body(b"too late"))

    async def test() -> None:
        ran = Run(app)
        await quiet()
        ran.ends.gateway.write(CANCEL, None)
        await ran.task
        assert heard == [{"type": "http.disconnect"}] * 2 + [499]
        assert [kind for kind, _ in ran.ends.written] == [TAKEN]

    run(test)


def test_an_app_that_waits_for_room_goes_on_when_its_client_leaves() -> None:
    """L9 L10: what it sent is dropped; its next message raises."""
    raised = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal raised
        await send(START)
        try:
            while True:
                await send(body(b"x" * 40000, more=True))
        except ClientDisconnected:
            raised = True
            raise

    async def test() -> None:
        ran = Run(app)
        await quiet()
        ran.ends.gateway.write(CANCEL, None)
        await asyncio.wait_for(ran.task, 20)
        assert raised

    run(test)


def test_a_response_for_a_client_that_has_left_goes_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """L10 S12: an app that was not told may end as if its client were there."""
    go_on = asyncio.Event()
    illegal = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal illegal
        await go_on.wait()
        with pytest.raises(IllegalMessage):
            await send({**START, "status": "ok"})
        illegal = True
        await send(START)
        await send(body(b"x"))

    async def unfinished(scope: Scope, receive: Receive, send: Send) -> None:
        await go_on.wait()

    async def test() -> None:
        both = [Run(app), Run(unfinished)]
        await quiet()
        for ran in both:
            ran.ends.gateway.write(CANCEL, None)
        await quiet()
        go_on.set()
        for ran in both:
            await ran.task
            assert [kind for kind, _ in ran.ends.written] == [TAKEN]

    run(test)
    assert illegal
    assert not caplog.records


def test_a_task_in_receive_hears_first() -> None:
    """L10 S12: `send` drops its message while another task has not got the disconnect yet."""
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

        async def listen() -> None:
            heard.append((await receive())["type"])

        listener = asyncio.create_task(listen())
        await quiet()
        await send(START)
        while not heard:
            await send(body(b"x" * 1000, more=True))
            await asyncio.sleep(0)
        await listener

    async def test() -> None:
        ran = Run(app)
        await until(lambda: len(ran.ends.written) > 2)
        ran.ends.gateway.write(CANCEL, None)
        await asyncio.wait_for(ran.task, 20)
        assert heard == ["http.disconnect"]

    run(test)


def test_a_response_that_is_over_ends_the_wait_in_receive() -> None:
    """L9: as the specification wants; the rest of an upload is not given any more."""
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            heard.append(await receive())
            heard.append(await receive())

        listener = asyncio.create_task(listen())
        await quiet()
        await send(START)
        await send(END_OF_BODY)
        await listener

    async def test() -> None:
        ran = Run(app, [upload(b"part", more=True)])
        await ran.answer()
        assert heard == [upload(b"part", more=True), {"type": "http.disconnect"}]

    run(test)


def test_a_lost_session_is_like_a_client_that_has_left() -> None:
    """L10: a gateway that died, or Redis gone, ends what runs for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    async def test() -> None:
        ran = Run(app)
        await quiet()
        ran.ends.worker.lose(ClientDisconnected("Redis is gone"))
        await asyncio.wait_for(ran.task, 20)

    run(test)


# ------------------------------------------------------------- the worker stops


def test_an_app_that_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    """L9 P2: it is cancelled, and may clean up; the gateway answers for it."""
    cleaned = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal cleaned
        try:
            await asyncio.Event().wait()
        finally:
            cleaned = True

    async def test() -> None:
        ran = Run(app)
        await quiet()
        ran.session.shutdown()  # changes nothing: it may end by itself
        await quiet()
        assert not ran.task.done()
        ran.session.cut(ran.task)
        await ran.answer()
        over = ran.ends.gateway.over
        assert over is not None
        assert isinstance(over.error, SessionLost)
        await ran.task

    run(test)
    assert cleaned
    assert not caplog.records
