"""What waits to be sent to the client of a WebSocket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.asgi1.socket_outbox import MAX_WAITING, SocketOutbox
from bridge.asgi1.socket_replies import CLOSED, OPEN
from bridge.errors import ChannelFull, IllegalMessage, MessageTooLarge
from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.types import Message

ACCEPT = {"type": "websocket.accept", "subprotocol": None}
CLOSE = {"type": "websocket.close", "code": 1000}


class Peer:
    """The host's `send`; data waits while `taking` is not set. `sent` is what it got."""

    def __init__(self, limit: int = 4 * MAX_WAITING) -> None:
        self.taking = asyncio.Event()
        self.taking.set()
        self.sent: list[Message] = []
        self.found_full = 0
        self.outbox = SocketOutbox(self._send, None, limit, self._on_full)
        self.sending = asyncio.create_task(self.outbox.send_all())

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "websocket.send":
            await self.taking.wait()

    def _on_full(self) -> None:
        self.found_full += 1

    def fill(self, data: bytes) -> None:
        """Send replies, up to an error."""
        for _ in range(MAX_WAITING):
            self.outbox.reply({"bytes": data})

    async def got(self, number: int) -> None:
        """Wait until the host has got so many messages."""
        while len(self.sent) < number:
            await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(main())


def test_replies_are_sent_in_order_up_to_the_close() -> None:
    """L4: one reply may be several messages; after the close there is nothing."""

    async def test() -> None:
        peer = Peer()
        peer.outbox.reply({"accept": True})
        peer.outbox.reply({"text": "a"})
        peer.outbox.reply({"bytes": b"b", "close": True})
        peer.outbox.reply({"text": "c"})
        assert peer.outbox
        await peer.sending
        assert not peer.outbox
        assert peer.sent == [
            ACCEPT,
            {"type": "websocket.send", "text": "a"},
            {"type": "websocket.send", "bytes": b"b"},
            CLOSE,
        ]
        assert (peer.outbox.phase, peer.outbox.code) == (CLOSED, 1000)
        assert peer.outbox.is_gone

    run(test)


def test_replies_from_other_threads() -> None:
    """L3 L4: each thread's replies come in its order, and all come."""

    async def test() -> None:
        peer = Peer()

        def reply(name: str) -> None:
            for number in range(500):
                peer.outbox.reply({"text": f"{name} {number}"})

        threads = [threading.Thread(target=reply, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        await peer.got(2001)
        for thread in threads:
            thread.join()
        texts = [message["text"].split() for message in peer.sent[1:]]
        for name in "abcd":
            assert [int(number) for who, number in texts if who == name] == [*range(500)]
        assert peer.outbox.phase == OPEN

    run(test)


def test_a_wrong_reply_is_the_senders_error() -> None:
    """L4 L13: it raises where it was given, and changes nothing."""

    async def test() -> None:
        peer = Peer(limit=10)
        with pytest.raises(IllegalMessage, match="has 'what'"):
            peer.outbox.reply({"what": 1})
        with pytest.raises(MessageTooLarge, match="has 11 bytes, and the channel layer takes 10"):
            peer.outbox.reply({"accept": True, "text": "x" * 11})
        await asyncio.sleep(0)
        assert peer.sent == []
        peer.outbox.reply({"text": "x" * 10})
        await peer.got(2)

    run(test)


def test_a_client_that_takes_nothing() -> None:
    """L4: beyond 1 MiB the sender gets `ChannelFull`; a close has room, and comes last."""

    async def test() -> None:
        peer = Peer()
        peer.taking.clear()
        with pytest.raises(ChannelFull, match="the client is slow: 1000640 bytes wait") as caught:
            peer.fill(bytes(100_000))
        sent = 10
        assert caught.value.status == 503
        assert peer.found_full == 1
        peer.outbox.reply({"close": 3000})
        peer.outbox.reply({"bytes": bytes(100_000)})  # dropped, not refused: it is closed
        peer.taking.set()
        await peer.sending
        assert len(peer.sent) == sent + 2
        assert peer.sent[-1]["code"] == 3000

    run(test)


def test_one_large_reply_and_many_empty_ones() -> None:
    """L4: a reply that is larger than the limit goes if none waits; empty ones count, too."""

    async def test() -> None:
        peer = Peer()
        peer.taking.clear()
        peer.outbox.reply({"bytes": bytes(2 * MAX_WAITING)})
        with pytest.raises(ChannelFull):
            peer.outbox.reply({"text": ""})
        peer.taking.set()
        await peer.got(2)
        await peer.outbox.caught_up()
        peer.taking.clear()
        with pytest.raises(ChannelFull):
            peer.fill(b"")

    run(test)


def test_a_sender_in_another_thread_is_told_that_it_is_full() -> None:
    """L3 L4: and so is the loop."""

    async def test() -> None:
        peer = Peer()
        peer.taking.clear()
        peer.outbox.reply({"bytes": bytes(MAX_WAITING)})

        def reply() -> None:
            with pytest.raises(ChannelFull):
                peer.outbox.reply({"bytes": b"x"})

        await asyncio.to_thread(reply)
        while not peer.found_full:
            await asyncio.sleep(0)

    run(test)


def test_a_sender_can_wait_until_the_client_has_caught_up() -> None:
    """L3: it is slow beyond 64 KiB, and has caught up when no more than 32 KiB wait."""

    async def test() -> None:
        peer = Peer()
        peer.taking.clear()
        peer.outbox.reply({"bytes": bytes(HIGH_WATER - 1000)})
        assert not peer.outbox.is_slow
        peer.outbox.reply({"bytes": bytes(2000)})
        peer.outbox.reply({"bytes": bytes(LOW_WATER - 1000)})
        assert peer.outbox.is_slow
        waiting = asyncio.create_task(peer.outbox.caught_up())
        await peer.got(2)
        assert not waiting.done()
        peer.taking.set()
        await waiting
        assert not peer.outbox.is_slow
        await peer.outbox.caught_up()

    run(test)


def test_the_client_goes() -> None:
    """L3 L4: what waits and what comes is dropped; who waits for it to catch up goes on."""

    async def test() -> None:
        peer = Peer()
        peer.taking.clear()
        for _ in range(3):
            peer.outbox.reply({"bytes": bytes(HIGH_WATER)})
        waiting = asyncio.create_task(peer.outbox.caught_up())
        await peer.got(2)
        peer.outbox.end()
        await waiting
        peer.outbox.reply({"bytes": bytes(2 * MAX_WAITING)})
        peer.taking.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(peer.sent) == 2
        assert not peer.sending.done()
        peer.sending.cancel()

    run(test)


def test_the_hosts_close() -> None:
    """L4: it comes after what waits; a handshake is refused by it."""

    async def test() -> None:
        peer = Peer()
        peer.outbox.reply({"text": "x"})
        peer.outbox.close(1011)
        await peer.sending
        assert [message["type"].partition(".")[2] for message in peer.sent] == [
            *("accept", "send", "close")
        ]
        assert peer.outbox.code == 1011
        refused = Peer()
        refused.outbox.close(1011)
        await refused.sending
        assert (refused.sent, refused.outbox.code) == ([CLOSE], 1006)

    run(test)


def test_others_have_their_turn() -> None:
    """L4: a host that never waits does not hold the loop while much is sent."""

    async def test() -> None:
        peer = Peer()
        for _ in range(1000):
            peer.outbox.reply({"text": "x"})
        turns = 0
        while len(peer.sent) < 1001:
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10

    run(test)


def test_a_reply_when_the_loop_has_ended() -> None:
    """L3: a thread that is late gets no error: the client has gone."""
    kept: list[SocketOutbox] = []
    done: list[None] = []

    async def test() -> None:
        kept.append(Peer().outbox)

    run(test)
    late = threading.Thread(target=lambda: done.append(kept[0].reply({"text": "x"})))
    late.start()
    late.join()
    assert done == [None]
