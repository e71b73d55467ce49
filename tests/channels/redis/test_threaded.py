"""The store of one process, called from other threads and loops."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from bridge.channels.redis import threaded as threads
from bridge.channels.redis.store import Store
from bridge.channels.redis.threaded import ThreadedStore
from bridge.errors import LayerUnavailable, WaitNotPossible
from bridge.loops.waiters import waiter
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


@pytest.fixture
def threaded(redis_server: Host, request: pytest.FixtureRequest) -> Any:
    made = ThreadedStore(Store(redis_url(redis_server), prefix=request.node.name))
    yield made
    try:
        made.close()
    except LayerUnavailable:
        pass  # the test has closed it


def test_calls(threaded: ThreadedStore) -> None:
    """L8: operations run on the loop of the store; their results and errors come back."""
    threaded.call(lambda store: store.send("a", {"n": 1}))
    assert threaded.call(lambda store: store.receive(["a"])) == ("a", {"n": 1})
    with pytest.raises(TypeError):
        threaded.call(lambda store: store.send("a b", {}))

    async def main() -> None:
        await threaded.call_async(lambda store: store.send("a", {"n": 2}))
        assert await threaded.call_async(lambda store: store.receive(["a"])) == ("a", {"n": 2})
        with pytest.raises(TypeError):
            await threaded.call_async(lambda store: store.send("a b", {}))

    asyncio.run(main())


def test_not_from_its_own_loop(threaded: ThreadedStore) -> None:
    """L8: a call that would wait for itself is refused, with what to do instead."""
    said: list[BaseException] = []

    def deliver(_: object) -> None:
        for wait in (lambda: threaded.call(lambda store: store.flush()), threaded.close):
            try:
                wait()
            except WaitNotPossible as error:
                said.append(error)

    channel = threaded.store.new_reply_channel()

    async def attach_and_send(store: Store) -> None:
        store.attach(channel, deliver)
        await store.send(channel, {})

    threaded.call(attach_and_send)
    assert [str(each)[:30] for each in said] == ["a channel layer was called by "] * 2


def test_order_of_what_one_sends(threaded: ThreadedStore) -> None:
    """L8: what one loop sends without waiting arrives in its order, from the first on."""

    async def main() -> None:
        sends = [
            asyncio.create_task(
                threaded.call_async(lambda store, n=n: store.send("order", {"n": n}))
            )
            for n in range(100)
        ]
        await asyncio.gather(*sends)

    asyncio.run(main())
    received = [threaded.call(lambda store: store.receive(["order"]))[1] for _ in range(100)]
    assert received == [{"n": n} for n in range(100)]


def test_cancelled(threaded: ThreadedStore) -> None:
    """L8: a caller that is cancelled ends its operation; what that has taken is given back."""

    async def main() -> None:
        for moment in range(12):
            task = asyncio.create_task(
                threaded.call_async(
                    lambda store: store.take_waiting(["c"]),
                    lambda store, taken: store.give_back(taken) if taken else None,
                )
            )
            await asyncio.sleep(0.001 * (moment % 3))
            await threaded.call_async(lambda store: store.send("c", {"n": 1}))
            for _ in range(moment):
                await asyncio.sleep(0)
            task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            if isinstance(done[0], asyncio.CancelledError):
                found = await threaded.call_async(lambda store: store.receive_waiting(["c"]))
                assert found == ("c", {"n": 1})

    asyncio.run(main())


def test_interrupted(threaded: ThreadedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: a thread that is interrupted while it waits leaves the message for the next."""

    class Interrupted:
        def __init__(self) -> None:
            self.woken = threading.Event()

        def wait(self, timeout: float) -> bool:
            if early:
                threaded.call(lambda store: store.send("i", {"n": 1}))
                assert self.woken.wait(10)
            raise KeyboardInterrupt

        def wake(self) -> None:
            self.woken.set()

    for early in (False, True):
        with monkeypatch.context() as patch:
            made = iter([Interrupted(), waiter()])
            patch.setattr(threads, "waiter", partial(next, made))
            with pytest.raises(KeyboardInterrupt):
                threaded.call(
                    lambda store: store.take_waiting(["i"]),
                    lambda store, taken: store.give_back(taken) if taken else None,
                )
        if not early:
            threaded.call(lambda store: store.send("i", {"n": 1}))
        found = threaded.call(lambda store: store.receive_waiting(["i"]))
        assert found == ("i", {"n": 1})


def test_closed(threaded: ThreadedStore) -> None:
    """L8: after the end, and for those who wait then, calls say that it was closed."""
    ended: list[str] = []

    def wait() -> None:
        try:
            threaded.call(lambda store: store.receive_waiting(["w"]))
        except LayerUnavailable as error:
            ended.append(str(error))

    async def on_another_loop() -> None:
        waiting = asyncio.create_task(
            threaded.call_async(lambda store: store.receive_waiting(["w"]))
        )
        await asyncio.sleep(0)
        await threaded.call_async(lambda store: store.receive(["nothing"]))
        await asyncio.to_thread(threaded.close)
        with pytest.raises(LayerUnavailable, match="closed"):
            await waiting

    thread = threading.Thread(target=wait)
    thread.start()
    asyncio.run(on_another_loop())
    thread.join()
    assert ended == ["the channel layer was closed"]
    with pytest.raises(LayerUnavailable, match="closed"):
        threaded.call(lambda store: store.receive(["w"]))


def test_closed_soon(threaded: ThreadedStore) -> None:
    """L8: it can be closed without waiting, from any loop, and more than once."""

    async def main() -> None:
        await threaded.call_async(lambda store: store.send("a", {"n": 1}))
        threaded.close_soon()
        while threaded.store.link.up:
            await asyncio.sleep(0.01)

    asyncio.run(main())
    threaded.close_soon()
    with pytest.raises(LayerUnavailable, match="closed"):
        threaded.call(lambda store: store.flush())
