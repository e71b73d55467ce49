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


def give_back(store: Store, taken: Any) -> None:
    store.give_back(taken)


def test_the_callers_loop_ends(threaded: ThreadedStore) -> None:
    """L8: what was taken for a task of a loop that was closed is given back."""
    loop, waiting = asyncio.new_event_loop(), threading.Event()

    async def take(store: Store) -> Any:
        waiting.set()
        return await store.take_waiting(["l"])

    task = loop.create_task(threaded.call_async(take, give_back))
    loop.run_until_complete(asyncio.sleep(0))
    assert waiting.wait(10)
    loop.close()
    threaded.call(lambda store: store.send("l", {"n": 1}))
    assert threaded.call(lambda store: store.receive_waiting(["l"])) == ("l", {"n": 1})
    task._log_destroy_pending = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("settled", [False, True])
def test_cancelled_when_the_result_is_there(threaded: ThreadedStore, settled: bool) -> None:
    """L8: a caller that is cancelled in that moment gives back what was taken for it."""

    async def main() -> None:
        await threaded.call_async(lambda store: store.send("r", {"n": 1}))
        ended = threading.Event()

        async def take(store: Store) -> Any:
            asyncio.get_running_loop().call_later(0.05, ended.set)
            return await store.take(["r"])

        task = asyncio.create_task(threaded.call_async(take, give_back))
        await asyncio.sleep(0)
        assert ended.wait(10)  # this loop stands still, and so the result is not passed on yet
        if settled:
            asyncio.get_running_loop().call_soon(task.cancel)
            await asyncio.sleep(0)
        else:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        found = await threaded.call_async(lambda store: store.receive_waiting(["r"]))
        assert found == ("r", {"n": 1})
        ended.clear()
        task = asyncio.create_task(threaded.call_async(take))  # its caller wants nothing back
        await asyncio.sleep(0)
        assert ended.wait(10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


def test_closed_twice_and_soon(redis_server: Host) -> None:
    """L8: closing what is closed, or never was open, does nothing; nobody has to wait for it."""
    for open_first in (False, True):
        threaded = ThreadedStore(Store(redis_url(redis_server), prefix="twice"))
        if open_first:
            threaded.call(lambda store: store.receive(["a"]))
        threads = [threading.Thread(target=threaded.close) for _ in range(2)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        threaded.close()
        threaded.close_soon()
    threaded = ThreadedStore(Store(redis_url(redis_server), prefix="soon"))
    threaded.call(lambda store: store.receive(["a"]))
    threaded.submit(lambda: (threaded.close_soon(), threaded.close_soon()))
    assert threaded._thread.join(10)


def test_the_loop_ends_with_calls_under_way(
    redis_server: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L8: who waits for a loop that ends meanwhile is told; whatever became of the call."""
    monkeypatch.setattr(threads, "_LOOK", 0.01)
    threaded = ThreadedStore(Store(redis_url(redis_server), prefix="ends"))

    async def is_cancelled(_: Store) -> None:
        await asyncio.sleep(0.05)
        raise asyncio.CancelledError

    with pytest.raises(LayerUnavailable, match="closed"):
        threaded.call(is_cancelled)
    with pytest.raises(LayerUnavailable, match="closed"):
        asyncio.run(threaded.call_async(is_cancelled))
    threaded.close()
    assert threaded._thread.join(10)
    task: Any = object()
    given_back: list[Any] = []
    both = threads._Outcome[None](waiter(), given_back.append)
    both._give_back(task)
    both._give_back(task)  # by the thread that was interrupted, and by the loop
    assert given_back == [task]
    never = threads._Outcome[None](waiter(), print)
    with pytest.raises(LayerUnavailable, match="closed"):
        never.wait(threaded._check_alive)
