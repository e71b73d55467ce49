"""Channels whose messages are made when somebody reads them."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge.channels.sources import LocalChannels, Source
from bridge.errors import ClientDisconnected, ConfigError, WaitNotPossible
from bridge.types import Message
from tests.support.waiting import eventually

NAME = "http.request.body?a"


class Body:
    """A body whose chunks come when the test says so."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.calls = 0
        self.cancelled = 0
        for chunk in chunks:
            self.chunks.put_nowait(chunk)

    async def take(self) -> Message:
        self.calls += 1
        try:
            chunk = await self.chunks.get()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(chunk, Exception):
            raise chunk
        return {"content": chunk}


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, call, *args)


def attach(body: Body) -> Source:
    return LocalChannels().attach(NAME, body.take)


class TestReading:
    def test_in_a_thread(self) -> None:
        """L6: a thread that reads has each chunk taken on the loop, one after the other."""

        async def main() -> None:
            body = Body(b"one", b"two")
            source = attach(body)
            assert body.calls == 0
            for chunk in (b"one", b"two"):
                assert await in_thread(source.receive, 60) == {"content": chunk}
            assert body.calls == 2

        asyncio.run(main())

    def test_in_a_coroutine(self) -> None:
        """L6: so does a task, and nothing is taken that nobody has asked for."""

        async def main() -> None:
            body = Body(b"one", b"two", b"three")
            source = attach(body)
            for calls, chunk in enumerate((b"one", b"two"), 1):
                assert await source.receive_async(60) == {"content": chunk}
                await asyncio.sleep(0)
                assert body.calls == calls

        asyncio.run(main())

    def test_on_another_loop(self) -> None:
        """L6: a task of another loop has the chunk taken on the loop of the request."""

        async def main() -> None:
            source = attach(Body(b"one"))
            got = await in_thread(lambda: asyncio.run(source.receive_async(60)))
            assert got == {"content": b"one"}

        asyncio.run(main())

    def test_without_waiting(self) -> None:
        """L6: who does not wait gets what is there, and has the next one fetched, once."""

        async def main() -> None:
            body = Body()
            source = attach(body)
            assert source.receive(0) is None
            assert source.receive(0) is None
            body.chunks.put_nowait(b"one")
            while (got := source.receive(0)) is None:
                await asyncio.sleep(0)
            assert got == {"content": b"one"}
            assert body.calls == 1

        asyncio.run(main())

    def test_a_reader_that_gives_up_loses_nothing(self) -> None:
        """L6: what a reader asked for before its time was up, or it was cancelled, is next."""

        async def main() -> None:
            body = Body()
            source = attach(body)
            assert await source.receive_async(0.01) is None
            assert await in_thread(source.receive, 0.01) is None
            task = asyncio.create_task(source.receive_async(60))
            await asyncio.sleep(0)
            body.chunks.put_nowait(b"one")
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await source.receive_async(60) == {"content": b"one"}
            assert (body.calls, body.cancelled) == (1, 0)

        asyncio.run(main())

    def test_the_next_in_line_gets_what_another_has_left(self) -> None:
        """L6: a chunk whose reader is cancelled in that moment goes to the one behind it."""

        async def main() -> None:
            body = Body()
            source = attach(body)
            first = asyncio.create_task(source.receive_async(60))
            second = asyncio.create_task(source.receive_async(60))
            await asyncio.sleep(0)
            body.chunks.put_nowait(b"one")
            while source._outcome is None:
                await asyncio.sleep(0)
            first.cancel()
            assert await second == {"content": b"one"}
            assert first.cancelled()

        asyncio.run(main())

    def test_errors_are_raised_in_the_reader(self) -> None:
        """L6: what the request says of itself reaches whoever reads, and the next may go on."""

        async def main() -> None:
            source = attach(Body(ClientDisconnected("gone"), ValueError("no"), b"one"))
            with pytest.raises(ClientDisconnected, match="gone"):
                await in_thread(source.receive, 60)
            with pytest.raises(ValueError, match="no"):
                await source.receive_async(60)
            assert await source.receive_async(60) == {"content": b"one"}

        asyncio.run(main())

    def test_a_thread_that_is_the_loop_cannot_wait(self) -> None:
        """L6: it would wait for itself; it is told so, and what to do."""

        async def main() -> None:
            source = attach(Body(b"one"))
            with pytest.raises(WaitNotPossible, match="await receive_async in a coroutine, or run"):
                source.receive(60)
            while source._outcome is None:
                await asyncio.sleep(0)
            assert source.receive(60) == {"content": b"one"}

        asyncio.run(main())


#: What those get who read after the end.
LAST: Message = {"content": b"", "closed": True}


class TestEnd:
    def test_all_who_wait_are_told(self) -> None:
        """L6: at the end of the request everyone who waits gets the last message, or nothing."""

        async def main(last: Message | None) -> None:
            body = Body()
            source = attach(body)
            loop = asyncio.get_running_loop()
            waits = [loop.run_in_executor(None, source.receive, 60) for _ in range(2)]
            waits += [asyncio.create_task(source.receive_async(60)) for _ in range(2)]
            while len(source._line._readers) < 4 or not body.calls:
                await asyncio.sleep(0.001)
            source.close(last)
            source.close({"too": "late"})
            got = await asyncio.gather(*waits)
            assert got == [last] * 4
            assert last is None or not any(each is last for each in got)
            await asyncio.sleep(0)
            assert (body.calls, body.cancelled) == (1, 1)

        asyncio.run(main(LAST))
        asyncio.run(main(None))

    def test_what_nobody_has_read_is_dropped(self) -> None:
        """L6: after the end a chunk that was taken does not come any more."""

        async def main() -> None:
            source = attach(Body(b"one"))
            source.receive(0)
            while source._outcome is None:
                await asyncio.sleep(0)
            source.close(LAST)
            assert source.closed
            assert await source.receive_async(60) == source.receive(60) == LAST

        asyncio.run(main())

    def test_closed_before_it_began(self) -> None:
        """L6: a thread asks, and the request ends before the loop hears of it."""

        async def main() -> None:
            body = Body(b"one")
            source = attach(body)
            thread = threading.Thread(target=source.receive, args=[0])
            thread.start()
            thread.join()
            source.close()
            await asyncio.sleep(0)
            assert body.calls == 0

        asyncio.run(main())

    def test_closed_while_it_takes_the_end(self) -> None:
        """L6: a take that ends in the moment of the close is of no effect."""

        async def main() -> None:
            channels, body = LocalChannels(), Body()
            source = channels.attach(NAME, body.take)
            task = asyncio.create_task(source.receive_async(60))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            body.chunks.put_nowait(b"one")
            await asyncio.sleep(0)
            source.close()
            assert await task is None
            assert channels.find([NAME]) is None

        asyncio.run(main())

    def test_cancelled_with_its_request(self) -> None:
        """L6: a take that something else cancels is an error that the reader can catch."""

        async def main() -> None:
            source = attach(Body())
            reader = asyncio.create_task(source.receive_async(60))
            while source._task is None:
                await asyncio.sleep(0)
            source._task.cancel()
            with pytest.raises(ClientDisconnected, match="the request was cancelled"):
                await reader

        asyncio.run(main())

    def test_the_loop_has_ended(self) -> None:
        """L6: a thread that is left behind by the loop of its request does not hang."""
        sources = []

        async def main() -> None:
            sources.append(attach(Body()))

        asyncio.run(main())
        with pytest.raises(ClientDisconnected, match="the event loop that reads the request has"):
            threaded(sources[0].receive, 60)

    def test_a_reader_whose_loop_has_ended_is_passed_over(self) -> None:
        """L6: the chunk goes to the next one in line."""

        async def main() -> None:
            body = Body()
            source = attach(body)
            await in_thread(leave_a_reader, source)
            [gone] = source._line._readers
            reader = asyncio.create_task(source.receive_async(60))
            await asyncio.sleep(0)
            body.chunks.put_nowait(b"one")
            assert await reader == {"content": b"one"}
            assert not gone.wake()

        asyncio.run(main())


def leave_a_reader(source: Source) -> None:
    """Have a task wait on a loop that is closed then."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(source.receive_async(60))
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    LEFT.append(task)  # whose end would take it out of the line


LEFT: list[object] = []


def threaded(call: Callable[..., Any], *args: Any) -> Any:
    """Call in a thread of its own, and return or raise what it does."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append((call(*args), None))
        except Exception as error:
            results.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    [(value, error)] = results
    if error is not None:
        raise error
    return value


class TestLocalChannels:
    def test_reply_channels(self) -> None:
        """L6: names of clients are never the same, in one process or in two."""
        here, there = LocalChannels(), LocalChannels()
        names = {here.new_reply_channel() for _ in range(100)}
        assert len(names) == 100
        assert all(name.startswith(here.reply_queue) for name in names)
        assert here.reply_queue.startswith("bridge.")
        assert here.reply_queue.endswith("!")
        assert here.reply_queue != there.reply_queue

    def test_find(self) -> None:
        """L6: a body is found by its name, also after its end, and is read alone."""

        async def main() -> None:
            channels, body = LocalChannels(), Body()
            assert channels.find([NAME]) is None
            source = channels.attach(NAME, body.take)
            assert channels.find([NAME]) is source
            assert channels.find(["other", "http.request.body?b"]) is None
            with pytest.raises(TypeError, match=r"http.request.body\?a' is the body of a request"):
                channels.find(["other", NAME])
            with pytest.raises(ConfigError, match="has a source already"):
                channels.attach(NAME, body.take)
            with pytest.raises(TypeError, match="must be a single-reader one"):
                channels.attach("other", body.take)
            source.close({"closed": True})
            assert channels.find([NAME]) is source

        asyncio.run(main())

    def test_memory_does_not_grow(self) -> None:
        """L6: of requests that are over a few are remembered."""

        async def main() -> None:
            channels, body = LocalChannels(), Body()
            for number in range(3000):
                source = channels.attach(f"body?{number}", body.take)
                source.close({"closed": True} if number % 3 else None)
            assert not channels._sources
            assert len(channels._closed) <= 1024

        asyncio.run(main())

    def test_a_source_that_nobody_holds(self) -> None:
        """L6: what a request has not closed goes with it, and its channel is an empty one."""

        async def main() -> None:
            channels, body = LocalChannels(), Body()
            source = channels.attach(NAME, body.take)
            assert channels.find([NAME]) is source
            del source
            gc.collect()
            assert channels.find([NAME]) is None

        asyncio.run(main())


def test_readers_of_a_slow_body() -> None:
    """L6: threads that read one body at once get each chunk once."""

    async def main() -> None:
        body = Body()
        source = attach(body)
        got: list[Any] = []

        def read() -> None:
            while (message := source.receive(60)) != {"closed": True}:
                got.append(message["content"])

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        sent = [str(number).encode() for number in range(200)]
        for chunk in sent:
            body.chunks.put_nowait(chunk)
        await in_thread(eventually, lambda: len(got) == len(sent))
        source.close({"closed": True})
        for thread in threads:
            await in_thread(thread.join)
        assert sorted(got, key=int) == sent

    asyncio.run(main())
