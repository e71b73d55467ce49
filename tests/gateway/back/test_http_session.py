"""One HTTP request on a worker: what its app receives and sends (L9, L10, L13)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bridge.errors import ClientDisconnected, IllegalMessage
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import ANSWER, CANCEL, END, EVENTS, TAKEN
from bridge.types import Message, Receive, Scope, Send
from tests.support.sessions import END_OF_BODY, START, HttpRun, body, quiet, run, until, upload

# ------------------------------------------------------------- the plain way


def test_a_response_that_is_whole_at_once_is_one_frame() -> None:
    """L9: checked as any other; it says that the request was taken, and how it ended."""
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["state"], scope["path"], await receive()))
        scope["state"]["pool"] = 2  # the request's own
        await send(START)
        await send({"type": "http.response.body", "body": bytearray(b"hello")})

    async def test() -> None:
        ran = HttpRun(app)
        head, piece = await ran.answer()
        assert head == {**START, "headers": [(b"x", b"1")]}
        assert piece["body"] == b"hello"
        assert ran.ends.ended_with is None
        assert ran.ends.written == [(ANSWER, [200, [(b"x", b"1")], b"hello"])]
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
        ran = HttpRun(app)
        await quiet()
        assert [kind for kind, _ in ran.ends.written] == [TAKEN]
        go_on.set()
        assert [each["type"][14:] for each in await ran.answer()] == ["start", "body", "body"]

    run(test)


def test_a_response_in_pieces_goes_to_the_gateway_as_the_app_sends_it() -> None:
    """L9: TAKEN first, then the messages, checked, and the end without an error."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({"type": "http.response.body", "body": bytearray(b"hel"), "more_body": True})
        await send({"type": "http.response.body", "body": memoryview(b"lo")})

    async def test() -> None:
        ran = HttpRun(app)
        head, *pieces = await ran.answer()
        assert head == {**START, "headers": [(b"x", b"1")]}
        assert pieces == [body(b"hel", more=True), body(b"lo")]
        assert ran.ends.ended_with is None
        assert [kind for kind, _ in ran.ends.written] == [TAKEN, EVENTS, EVENTS, EVENTS, END]

    run(test)


@pytest.mark.parametrize(
    ("events", "start", "size"),
    [
        ([upload(b"part", more=True)], START, 1),
        ([], START, 1),
        ([upload()], {**START, "trailers": True}, 1),
        ([upload()], START, WINDOW + 1),
    ],
)
def test_what_is_not_one_frame(events: list[Message], start: Message, size: int) -> None:
    """L9: if more is to come, on either side, or much, the gateway must know the worker first."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start)
        await send(body(b"x" * size))

    async def test() -> None:
        ran = HttpRun(app, events)
        whole = b"".join(each.get("body", b"") for each in await ran.answer())
        assert len(whole) == size
        assert ran.ends.written[0][0] == TAKEN

    run(test)


@pytest.mark.parametrize(
    ("status", "fields", "lengths"),
    [
        (200, [], [b"%d" % (WINDOW + 1)]),
        (200, [(b"Content-Length", b"1")], [b"1"]),
        (204, [], []),
    ],
)
def test_the_length_of_a_large_body(
    status: int, fields: list[tuple[bytes, bytes]], lengths: list[bytes]
) -> None:
    """L9: it is told as our server tells it, though the body goes in pieces."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({**START, "status": status, "headers": fields})
        await send(body(b"x" * (WINDOW + 1)))

    async def test() -> None:
        head, *_ = await HttpRun(app).answer()
        found = [value for name, value in head["headers"] if name.lower() == b"content-length"]
        assert found == lengths

    run(test)


def test_an_app_that_listens_for_the_end_while_it_answers() -> None:
    """L9: the listener is told when the response is over, if that is one frame, too."""
    heard: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

        async def listen() -> None:
            heard.append(await receive())

        listener = asyncio.create_task(listen())
        await asyncio.sleep(0)
        await send(START)
        await send(END_OF_BODY)
        await listener

    async def test() -> None:
        ran = HttpRun(app, told=False)
        await ran.answer()
        await ran.task
        assert heard == [{"type": "http.disconnect"}]
        assert [kind for kind, _ in ran.ends.written] == [ANSWER]

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
        ran = HttpRun(app)
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
        ran = HttpRun(app, [upload(b"first", more=True)], method="POST")
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
        ran = HttpRun(app, extensions={"http.response.pathsend": {}})
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
        ran = HttpRun(app, extensions={name: {} for name in offered})
        first, head, _, last = await ran.answer()
        assert first["links"] == [b"</a>", b"</b>"]
        assert head["trailers"] is True
        assert last["headers"] == [(b"sum", b"1")]
        assert ran.ends.ended_with is None

    run(test)


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
        ran = HttpRun(app)
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
        ran = HttpRun(app)
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
        both = [HttpRun(app), HttpRun(unfinished)]
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
        ran = HttpRun(app)
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
        ran = HttpRun(app, [upload(b"part", more=True)])
        await ran.answer()
        assert heard == [upload(b"part", more=True), {"type": "http.disconnect"}]

    run(test)
