"""What an app on a worker is told, and what its gateway is told of it (L9, L10, L13)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import ClientDisconnected, IllegalMessage, LayerUnavailable
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import ANSWER, CANCEL, TAKEN, Frame
from bridge.gateway.session import SessionLost
from bridge.types import Message, Receive, Scope, Send
from tests.support.sessions import END_OF_BODY, START, HttpRun, body, quiet, run


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
        ran = HttpRun(app)
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
        ran = HttpRun(app)
        assert await ran.answer() == []
        assert ran.ends.ended_with == f"the app raised {type(error).__name__}: {error}"

    run(test)
    (record,) = caplog.records
    assert record.getMessage() == "the app raised in GET /a"
    assert record.exc_info is not None
    assert record.exc_info[1] is error


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
        ran = HttpRun(app)
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


def test_an_app_that_goes_on_after_its_response() -> None:
    """L9: its gateway has all; what it sends then is an error, and what it receives the end."""
    heard: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END_OF_BODY)
        await asyncio.sleep(0)
        with pytest.raises(IllegalMessage):
            await send(END_OF_BODY)
        heard.append(await receive())
        await asyncio.Event().wait()

    async def test() -> None:
        ran = HttpRun(app)
        await quiet()
        ran.session.cut(ran.task)
        await ran.answer()
        await asyncio.wait([ran.task])
        assert heard == [{"type": "http.disconnect"}]
        assert [kind for kind, _ in ran.ends.written] == [ANSWER]

    run(test)


def test_a_lost_session_is_like_a_client_that_has_left() -> None:
    """L10: a gateway that died, or Redis gone, ends what runs for it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"

    async def test() -> None:
        ran = HttpRun(app)
        await quiet()
        ran.ends.worker.lose(ClientDisconnected("Redis is gone"))
        await asyncio.wait_for(ran.task, 20)

    run(test)


async def _wait(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


def refuse(peer: str, frame: Frame) -> None:
    """Do as without a connection."""
    raise LayerUnavailable("the connection to Redis is lost")


def test_the_gateway_is_told_once() -> None:
    """L10: and what could not be sent, as Redis is gone, is not waited for."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send(END_OF_BODY)

    async def test() -> None:
        waits = HttpRun(_wait)
        await quiet()
        waits.session.tell()
        assert [kind for kind, _ in waits.ends.written] == [TAKEN]
        waits.task.cancel()
        alone = HttpRun(app)
        alone.ends.post = refuse  # type: ignore[method-assign]
        await alone.task

    run(test)


def test_a_client_that_leaves_while_the_app_waits_for_room() -> None:
    """L9 L10: what was sent is dropped; each message after it raises, more and more slowly."""
    raised: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(IllegalMessage) as unknown:
            await send({"type": "http.response.early_hint", "links": []})
        raised.append(str(unknown.value))
        scope["extensions"]["http.response.early_hint"] = {}
        await send({"type": "http.response.early_hint", "links": []})
        await send(START)
        await send(body(b"x" * WINDOW, more=True))  # a window is spent
        await send(body(b"x", more=True))  # waits
        for _ in range(3):
            with pytest.raises(ClientDisconnected) as gone:
                await send(body(b"x", more=True))
            raised.append(str(gone.value))

    async def test() -> None:
        ran = HttpRun(app)
        await quiet()
        ran.ends.gateway.write(CANCEL, None)
        await asyncio.wait_for(ran.task, 20)

    run(test)
    assert "is not among the extensions" in raised[0]
    assert raised[1:] == ["the client is gone; nothing more can be sent"] * 3


def test_an_answer_while_something_listens() -> None:
    """L9: the session that a listener has begun is over with it."""
    heard: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert scope["extensions"] == {}

        async def listen() -> None:
            heard.append((await receive())["type"])

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await send(START)
        await send(END_OF_BODY)
        await listener

    async def test() -> None:
        ran = HttpRun(app, told=False, asgi={}, extensions={"bridge.consumers": {}})
        await ran.answer()
        await asyncio.wait_for(ran.task, 20)
        assert [kind for kind, _ in ran.ends.written] == [ANSWER]

    run(test)
    assert heard == ["http.disconnect"]


def test_what_is_cut_without_a_task() -> None:
    """L9 P2: its gateway answers for it, and hears nothing more."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await quiet(10)
        await send(START)

    async def test() -> None:
        ran = HttpRun(app, told=False)
        await asyncio.sleep(0)
        ran.session.cut(None)
        await ran.task
        assert [kind for kind, _ in ran.ends.written] == [TAKEN, CANCEL]

    run(test)
