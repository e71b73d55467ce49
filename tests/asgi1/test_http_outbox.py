"""What waits for the client of a request: who may put something in, and who waits for room."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from bridge.asgi1.http_outbox import MAX_WAITING, HttpOutbox
from bridge.asgi1.http_replies import first_reply
from bridge.errors import ChannelFull, IllegalMessage, MessageTooLarge
from bridge.limits import HIGH_WATER
from bridge.runners.completions import CompletionQueue
from bridge.types import Message

LIMIT = 4 * 1024 * 1024


def run(main: Any) -> None:
    """Run `main(outbox)` on a loop."""

    async def within() -> None:
        await main(HttpOutbox(CompletionQueue(asyncio.get_running_loop()), LIMIT))

    asyncio.run(within())


def piece(size: int) -> Message:
    return {"content": b"x" * size, "more_content": True}


class Host:
    """Takes messages, as fast as it is allowed to."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.may_take = asyncio.Event()
        self.may_take.set()

    async def send(self, message: Message) -> None:
        await self.may_take.wait()
        self.sent.append(message)


def test_replies_leave_in_order() -> None:
    """L4: each as its messages; then the response is complete."""

    async def main(outbox: HttpOutbox) -> None:
        host = Host()
        assert (bool(outbox), outbox.has_begun) == (False, False)
        outbox.reply({"status": 200, "more_content": True})
        assert (bool(outbox), outbox.has_begun, outbox.complete) == (True, True, False)
        outbox.reply({"content": b"end"})
        assert outbox.complete
        await outbox.send_all(host.send)
        assert [message.get("body") for message in host.sent] == [None, b"", b"end"]
        assert not outbox
        with pytest.raises(IllegalMessage, match="complete"):
            outbox.reply({})
        outbox.deliver({"status": 200})
        assert not outbox

    run(main)


def test_a_whole_response_is_taken_at_once() -> None:
    """L4: by a host that needs no messages; else they are left where they are."""

    async def main(outbox: HttpOutbox) -> None:
        assert outbox.take_whole() is None
        outbox.reply({"status": 201, "headers": [(b"X", b"y")], "content": b"body"})
        whole = outbox.take_whole()
        assert whole is not None
        head, body = whole
        assert (head.status_code, head.raw_headers, body) == (201, [(b"x", b"y")], b"body")
        assert not outbox
        assert outbox.take_whole() is None

    async def in_pieces(outbox: HttpOutbox) -> None:
        outbox.reply({"status": 200, "more_content": True})
        assert outbox.take_whole() is None
        outbox.reply({})
        assert outbox.take_whole() is None
        assert outbox

    async def of_the_host(outbox: HttpOutbox) -> None:
        outbox.answer([{"type": "http.response.start"}, {"type": "http.response.body"}])
        assert outbox.take_whole() is None

    run(main)
    run(in_pieces)
    run(of_the_host)


def test_a_reply_that_has_come_before() -> None:
    """L4: is the first; what follows must fit it."""

    async def main(outbox: HttpOutbox) -> None:
        outbox.begin(first_reply({"status": 200, "content": b"a", "more_content": True}, 10))
        assert outbox.has_begun
        assert not outbox.complete
        outbox.reply({"content": b"b"})
        with pytest.raises(IllegalMessage):
            outbox.reply({})
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await outbox.send_all(send)
        assert [message.get("body") for message in sent] == [None, b"a", b"b"]

    run(main)


def test_a_slow_client_fills_it() -> None:
    """L4: more than 64 KiB: senders had better wait; more than 1 MiB: `ChannelFull`."""

    async def main(outbox: HttpOutbox) -> None:
        outbox.reply({"status": 200, **piece(HIGH_WATER)})
        assert not outbox.is_slow
        outbox.reply(piece(1))
        assert outbox.is_slow
        outbox.reply(piece(MAX_WAITING))
        with pytest.raises(ChannelFull, match=r"\d+ bytes wait for the client, which is slow"):
            outbox.reply(piece(1))
        with pytest.raises(ChannelFull):
            outbox.deliver(piece(1))

    run(main)


def test_a_reply_of_any_size_is_taken_if_nothing_waits() -> None:
    """L4: up to what the channel layer takes."""

    async def main(outbox: HttpOutbox) -> None:
        with pytest.raises(MessageTooLarge):
            outbox.reply({"status": 200, **piece(LIMIT + 1)})
        outbox.reply({"status": 200, **piece(LIMIT)})

    run(main)


def test_senders_wait_until_the_client_has_caught_up() -> None:
    """L3: or until it is gone."""

    async def main(outbox: HttpOutbox) -> None:
        host = Host()
        await outbox.caught_up()  # at once: nothing waits
        outbox.reply({"status": 200, **piece(HIGH_WATER)})
        outbox.reply(piece(1))
        host.may_take.clear()
        sending = asyncio.create_task(outbox.send_all(host.send))
        waiting = asyncio.create_task(outbox.caught_up())
        await asyncio.sleep(0)
        assert not waiting.done()
        host.may_take.set()
        await waiting
        await sending
        assert not outbox.is_slow
        for _ in range(2):
            outbox.reply(piece(HIGH_WATER))
        waiting = asyncio.create_task(outbox.caught_up())
        await asyncio.sleep(0)
        outbox.close()
        await waiting
        assert (outbox.is_gone, outbox.is_slow, bool(outbox)) == (True, False, False)

    run(main)


def test_a_client_that_is_gone_gets_nothing() -> None:
    """L3 L4: what comes is dropped, without an error, as daphne dropped it."""

    async def main(outbox: HttpOutbox) -> None:
        outbox.close()
        outbox.reply({"nonsense": 1})
        outbox.deliver({"nonsense": 1})
        assert not outbox

    run(main)


def test_an_answer_of_the_host() -> None:
    """L3: it counts if no reply has come, and what comes later is dropped."""
    answer: list[Message] = [{"type": "http.response.start"}, {"type": "http.response.body"}]

    async def main(outbox: HttpOutbox) -> None:
        host = Host()
        assert outbox.answer(answer)
        outbox.reply({"status": 200})
        await outbox.send_all(host.send)
        assert host.sent == answer
        assert (outbox.complete, outbox.is_gone) == (True, True)

    async def late(outbox: HttpOutbox) -> None:
        outbox.reply({"status": 200})
        assert not outbox.answer(answer)

    run(main)
    run(late)


@pytest.mark.parametrize("in_thread", [False, True])
def test_the_task_sleeps_until_there_is_news(in_thread: bool) -> None:
    """L3: whoever sends, from the loop or from a thread."""

    async def main(outbox: HttpOutbox) -> None:
        reply = {"status": 200, "more_content": True}
        if in_thread:
            threading.Thread(target=outbox.reply, args=(reply,)).start()
        else:
            asyncio.get_running_loop().call_soon(outbox.reply, reply)
        while not outbox:
            await outbox.sleep_unless(lambda: bool(outbox))
        await outbox.sleep_unless(lambda: bool(outbox))  # at once

    run(main)


def test_waking_twice_does_no_harm() -> None:
    """L3: two senders may wake the task at the same time."""

    async def main(outbox: HttpOutbox) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(outbox.wake)
        loop.call_soon(outbox.on_completed)
        await outbox.sleep_unless(lambda: False)
        outbox.on_completed()

    run(main)


def test_a_thread_wakes_the_task() -> None:
    """L3: whatever thread it is."""

    async def main(outbox: HttpOutbox) -> None:
        def wake_from_a_thread() -> None:
            thread = threading.Thread(target=outbox.wake)
            thread.start()
            thread.join()

        asyncio.get_running_loop().call_soon(wake_from_a_thread)
        await outbox.sleep_unless(lambda: False)

    run(main)


def test_many_threads_at_once() -> None:
    """L3: one response, whoever makes it."""

    async def main(outbox: HttpOutbox) -> None:
        host = Host()
        outbox.reply({"status": 200, "more_content": True})
        threads = [
            threading.Thread(target=lambda: [outbox.reply(piece(1)) for _ in range(100)])
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        while len(host.sent) < 2 + 500:
            await outbox.send_all(host.send)
            if len(host.sent) < 2 + 500:
                await outbox.sleep_unless(lambda: bool(outbox))
        for thread in threads:
            thread.join()

    run(main)
