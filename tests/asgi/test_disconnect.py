"""How an app hears that its client is gone: errors (W38, S14), and which task hears first (S12)."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from bridge.asgi.disconnect import DisconnectNotice, is_disconnect, throttle
from bridge.errors import ClientDisconnected


def chain(*errors: BaseException) -> BaseException:
    """The first of `errors`, each of which was caused by the next."""
    for error, cause in pairwise(errors):
        error.__cause__ = cause
    return errors[0]


def circle() -> BaseException:
    """An error that comes of itself, by way of another."""
    first, second = KeyError(), ValueError()
    first.__cause__, second.__context__ = second, first
    return first


def test_chain_is_followed() -> None:
    """S14: frameworks wrap our error in theirs; a group comes of leaving if all of it does."""
    gone = ClientDisconnected("gone")
    assert is_disconnect(chain(OSError(), ValueError(), gone))
    assert is_disconnect(BaseExceptionGroup("two", [gone, chain(OSError(), gone)]))
    assert not is_disconnect(BaseExceptionGroup("two", [gone, OSError()]))
    assert not is_disconnect(chain(OSError(), ValueError()))


@pytest.mark.parametrize("shape", ["circle", "group", "member", "wide", "long"])
def test_chain_without_an_end(shape: str) -> None:
    """S14: a chain that is a circle, or as good as endless, has an answer all the same."""
    error = circle()
    if shape == "group":
        error = BaseExceptionGroup("around", [error, error])
    elif shape == "member":
        member = OSError()
        error = member.__context__ = BaseExceptionGroup("around its own cause", [member])
    elif shape == "wide":
        for _ in range(50):
            error = BaseExceptionGroup("twice", [error, error])
    elif shape == "long":
        error = chain(*(OSError() for _ in range(10_000)))
    assert not is_disconnect(error)


def test_chain_ends() -> None:
    """S14: a cancelled app has noticed, too; an error without a cause says nothing of a client."""
    assert is_disconnect(asyncio.CancelledError())
    assert not is_disconnect(OSError())


# ------------------------------------------------------------- which task hears first


async def heard(notice: DisconnectNotice) -> None:
    """A task of the app's that waits in `receive`, and is told."""
    notice.note_receiver()
    await notice.disconnect()


def test_a_cancellation_comes_at_the_next_await() -> None:
    """S12: a task that is cancelled in `send` is cancelled where it waits next, once."""

    async def main() -> list[str]:
        notice, told = DisconnectNotice(), []

        async def app() -> None:
            try:
                told.append(f"dropped {await notice.drops_message()}")
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append("cancelled outside")
                raise

        await asyncio.create_task(heard(notice))
        sender = asyncio.create_task(app())
        await asyncio.sleep(0)  # it is in `drops_message` now
        sender.cancel()
        await asyncio.wait([sender])
        told.append(f"cancelled {sender.cancelled()}, {sender.cancelling()} time")
        return told

    assert asyncio.run(main()) == ["dropped True", "cancelled outside", "cancelled True, 1 time"]


def test_who_is_not_cancelled_goes_on() -> None:
    """S12: `send` raises after a while if a task that was told does nothing about it."""

    async def main() -> list[bool]:
        notice = DisconnectNotice(grace=0.01)
        hears = asyncio.Event()

        async def receive() -> None:
            notice.note_receiver()
            await hears.wait()
            await notice.disconnect()

        receiver = asyncio.create_task(receive())
        await asyncio.sleep(0)
        untold = [await notice.drops_message(), await notice.drops_message()]
        hears.set()
        await receiver
        return [*untold, await notice.drops_message(), await notice.drops_message()]

    assert asyncio.run(main()) == [True, True, False, False]


def test_a_sole_task_need_not_wait_for_itself() -> None:
    """S12: an app that receives and sends in one task, or never received, hears of it in `send`."""

    async def main() -> list[bool]:
        notice = DisconnectNotice()
        never = await notice.drops_message()
        notice.note_receiver()
        return [never, await notice.drops_message()]

    assert asyncio.run(main()) == [False, False]


def test_the_second_cancellation_is_not_put_off() -> None:
    """S12: nobody is kept from ending for ever."""

    async def main() -> list[str]:
        notice, told, sends_again = DisconnectNotice(), [], asyncio.Event()

        async def app() -> None:
            told.append(f"dropped {await notice.drops_message()}")
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                told.append("cancelled outside")
            await asyncio.create_task(heard(notice))
            sends_again.set()
            try:
                told.append(f"dropped {await notice.drops_message()}")
            except asyncio.CancelledError:
                told.append("cancelled inside")

        await asyncio.create_task(heard(notice))
        task = asyncio.create_task(app())
        await asyncio.sleep(0)
        task.cancel()
        await sends_again.wait()
        task.cancel()
        await asyncio.wait([task])
        return told

    assert asyncio.run(main()) == ["dropped True", "cancelled outside", "cancelled inside"]


def test_calls_that_cannot_succeed_are_slowed_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A12: the first call is free, then the pauses grow, up to a second."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def main() -> None:
        for calls in (1, 2, 500, 5000):
            await throttle(calls)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(main())
    assert pauses == [0.002, 0.5, 1.0]
