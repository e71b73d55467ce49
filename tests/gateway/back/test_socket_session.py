"""One WebSocket on a worker: what its app receives and sends (L9, L10, L13)."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from bridge.errors import ClientDisconnected, IllegalMessage, UnsupportedScope
from bridge.gateway.back.socket_session import SocketSession
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import CANCEL
from bridge.gateway.session import SessionLost
from bridge.types import ASGIApp, Message, Receive, Scope, Send
from tests.support.sessions import Ends, quiet, run

CONNECT: Message = {"type": "websocket.connect"}
ACCEPT: Message = {"type": "websocket.accept"}
DENIED: Message = {"type": "websocket.http.response.start", "status": 401, "headers": []}


def text(data: str) -> Message:
    return {"type": "websocket.receive", "text": data}


def sent(data: str) -> Message:
    return {"type": "websocket.send", "text": data}


def disconnect(code: int, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


class Run:
    """An app that has one WebSocket; `task` is its own."""

    def __init__(self, app: ASGIApp, **scope: Any) -> None:
        offered = {"websocket.http.response": {}}
        about: Scope = {
            "type": "websocket",
            "path": "/ws",
            "headers": [],
            "extensions": offered,
            "subprotocols": ["chat", "soap"],
            **scope,
        }
        self.ends = Ends(about, [CONNECT])
        self.session = SocketSession(self.ends, self.ends.request)
        self.task = asyncio.create_task(self.session.run(app, {}))

    async def answer(self) -> list[Message]:
        return await asyncio.wait_for(self.ends.answer(), 20)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    assert await receive() == CONNECT
    await send({**ACCEPT, "subprotocol": "chat", "headers": [(b"X-A", b"1")]})
    while (event := await receive())["type"] == "websocket.receive":
        await send(
            {"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")}
        )


# ------------------------------------------------------------- the plain way


def test_messages_both_ways_until_the_client_closes() -> None:
    """L9: text and bytes as they are; the client's close is the disconnect, with its code."""

    async def test() -> None:
        ran = Run(echo)
        gateway = ran.ends.gateway
        assert await gateway.read() == {
            "type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-a", b"1")]
        }  # fmt: skip
        await gateway.send(text("one"))
        await gateway.send({"type": "websocket.receive", "bytes": b"two"})
        assert await gateway.read() == sent("one")
        assert await gateway.read() == {"type": "websocket.send", "bytes": b"two"}
        await gateway.send(disconnect(4000, "bye"))
        await ran.answer()
        assert ran.ends.ended_with is None

    run(test)


def test_the_end_is_told_as_often_as_it_is_asked_for() -> None:
    """S20: and nothing can be sent after it."""
    heard: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        heard.append(await receive())
        heard[0]["code"] = 1  # the app's own
        heard.append(await receive())
        for _ in range(2):
            with pytest.raises(ClientDisconnected):
                await send(sent("too late"))

    async def test() -> None:
        ran = Run(app)
        await ran.ends.gateway.send(disconnect(1001))
        assert [each["type"] for each in await ran.answer()] == ["websocket.accept"]
        assert heard == [disconnect(1), disconnect(1001)]

    run(test)


def test_the_app_closes() -> None:
    """L9: with its code and reason; it is told of its own close, and may send nothing more."""
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)

        async def listen() -> None:
            heard.append(await receive())

        listener = asyncio.create_task(listen())
        await quiet()
        await send({"type": "websocket.close", "code": 4001, "reason": "done"})
        await listener
        with pytest.raises(IllegalMessage):
            await send(sent("too late"))

    async def test() -> None:
        ran = Run(app)
        assert (await ran.answer())[1:] == [
            {"type": "websocket.close", "code": 4001, "reason": "done"}
        ]
        assert heard == [disconnect(4001, "done")]
        assert ran.ends.ended_with is None

    run(test)


@pytest.mark.parametrize(
    ("messages", "after"),
    [
        ([{"type": "websocket.close", "code": 4000}], [{"type": "websocket.close"}]),
        (
            [DENIED, {"type": "websocket.http.response.body", "body": b"no"}],
            [
                DENIED,
                {"type": "websocket.http.response.body", "body": b"no", "more_body": False},
            ],
        ),
    ],
)
def test_the_app_refuses(messages: list[Message], after: list[Message]) -> None:
    """L9: by a close, which has no code then, or by a response of its own; then it is over."""
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        heard.append(await receive())

    async def test() -> None:
        ran = Run(app)
        assert await ran.answer() == after
        assert heard == [disconnect(1006)]
        assert ran.ends.ended_with is None

    run(test)


def test_a_slow_client_slows_the_app() -> None:
    """L9: a window of messages and one more; a close need not wait."""
    count = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal count
        await receive()
        await send(ACCEPT)
        for _ in range(40):
            await send({"type": "websocket.send", "bytes": b"x" * 8192})
            count += 1

    async def test() -> None:
        ran = Run(app)
        await quiet()
        assert 0 < count <= WINDOW // 8192 + 1
        answer = await ran.answer()
        assert sum(len(each.get("bytes", b"")) for each in answer) == 40 * 8192
        assert answer[-1] == {"type": "websocket.close", "code": 1000, "reason": ""}

    run(test)


# ------------------------------------------------------------- the app's mistakes


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([sent("early")], "'websocket.send' was sent before the response starts"),
        ([{**ACCEPT, "subprotocol": "other"}], "the client offers chat, soap"),
        ([{**ACCEPT, "headers": [(b"sec-websocket-accept", b"x")]}], "the server makes it"),
        ([ACCEPT, ACCEPT], "while the WebSocket is open"),
        ([ACCEPT, {"type": "websocket.send"}], "one of them must be given"),
        ([ACCEPT, {"type": "websocket.send", "text": "\ud800"}], "cannot be encoded as UTF-8"),
        ([ACCEPT, {"type": "websocket.close", "code": 1}], "close code 1"),
        ([ACCEPT, {"type": "websocket.close", "reason": 1}], "must be an int and a str"),
        ([{**DENIED, "status": 101}], "status"),
        ([DENIED, {"type": "websocket.http.response.body", "body": "no"}], "body is str"),
    ],
)
def test_what_the_app_may_not_send_is_raised_in_it(messages: list[Any], said: str) -> None:
    """L13 S20: with the rules and the words of our server."""
    caught: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages[:-1]:
            await send(message)
        with pytest.raises(IllegalMessage) as raised:
            await send(messages[-1])
        caught.append(str(raised.value))

    async def test() -> None:
        ran = Run(app)
        await ran.answer()
        assert said in caught[0]

    run(test)


def test_a_denial_that_the_host_cannot_do() -> None:
    """L13: a gateway whose server does not offer it gets none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(IllegalMessage, match="is not among the extensions"):
            await send(DENIED)
        await send({"type": "websocket.close"})

    async def test() -> None:
        assert await Run(app, extensions=None).answer() == [{"type": "websocket.close"}]

    run(test)


@pytest.mark.parametrize(
    ("messages", "error", "closed", "said"),
    [
        ([], None, [], "the app returned without a response"),
        ([DENIED], None, [DENIED], "the app returned with its response unfinished"),
        ([], ValueError("no"), [], "the app raised ValueError: no"),
        ([ACCEPT], ValueError("no"), [1011], "the app raised ValueError: no"),
        ([ACCEPT], None, [1000], None),
    ],
)
def test_an_app_that_ends_too_early(
    caplog: pytest.LogCaptureFixture,
    messages: list[Message],
    error: Exception | None,
    closed: list[Any],
    said: str | None,
) -> None:
    """L13 S20: what it left open is closed, the fault is logged here and told to the gateway."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    async def test() -> None:
        ran = Run(app)
        answer = [each for each in await ran.answer() if each["type"] != "websocket.accept"]
        assert [each.get("code", each) for each in answer] == closed
        assert ran.ends.ended_with == said

    run(test)
    assert len(caplog.records) == (said is not None)


def test_an_app_that_takes_no_websockets(caplog: pytest.LogCaptureFixture) -> None:
    """L9 S20: a refusal, which is no error."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise UnsupportedScope("only http here")

    async def test() -> None:
        ran = Run(app)
        assert await ran.answer() == [{"type": "websocket.close"}]
        assert ran.ends.ended_with is None

    run(test)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == "refused a WebSocket /ws: only http here"


# ------------------------------------------------------------- the other side is gone


@pytest.mark.parametrize("accepted", [True, False])
def test_a_session_that_is_lost(caplog: pytest.LogCaptureFixture, accepted: bool) -> None:
    """L10: a gateway that died, Redis gone, a client that left early: 1006, and `send` raises."""
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        if accepted:
            await send(ACCEPT)
        heard.append(await receive())
        await send(sent("too late") if accepted else ACCEPT)

    async def test() -> None:
        ran = Run(app)
        await quiet()
        if accepted:
            ran.ends.worker.lose(SessionLost("gone"))
        else:
            ran.ends.gateway.write(CANCEL, None)
        await asyncio.wait_for(ran.task, 20)
        assert heard == [disconnect(1006)]

    run(test)
    assert not caplog.records


def test_an_app_that_waits_for_room_goes_on_when_its_client_is_gone() -> None:
    """L9 L10: its next message raises."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        while True:
            await send({"type": "websocket.send", "bytes": b"x" * 40000})

    async def test() -> None:
        ran = Run(app)
        await quiet()
        ran.ends.worker.lose(SessionLost("gone"))
        await asyncio.wait_for(ran.task, 20)

    run(test)


def test_a_stop_closes_with_1012(caplog: pytest.LogCaptureFixture) -> None:
    """L9 P2: the client is to come back; what has no answer yet may still get one."""

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    async def test() -> None:
        opened, early = Run(echo), Run(waiting)
        await quiet()
        for each in (opened, early):
            each.session.shutdown()
            each.session.shutdown()
        answer = await opened.answer()
        assert answer[1:] == [{"type": "websocket.close", "code": 1012, "reason": ""}]
        assert opened.ends.ended_with is None
        assert not early.task.done()
        early.session.cut(early.task)
        await early.answer()
        over = early.ends.gateway.over
        assert over is not None
        assert isinstance(over.error, SessionLost)

    run(test)
    assert not caplog.records
