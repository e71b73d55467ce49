"""How apps and clients part: errors that come of it (W38, S14), and who hears first (S12)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bridge.asgi.disconnect import Parting, is_disconnect
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


# ------------------------------------------------------------- who hears first


def run(main: Callable[[Parting], Any]) -> Any:
    return asyncio.run(main(Parting()))


def test_a_cancellation_comes_at_the_next_await() -> None:
    """S12: a task that is cancelled in `send` is cancelled where it waits next, once."""

    async def main(parting: Parting) -> list[str]:
        told = []

        async def send() -> None:
            told.append(f"dropped {await parting.others_come_first()}")

        async def app() -> None:
            try:
                await send()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append("cancelled outside")
                raise

        async def listen() -> None:
            parting.listen()
            await parting.disconnect()
            sender.cancel()

        sender = asyncio.create_task(app())
        parting._listener = asyncio.create_task(listen())
        await asyncio.wait([sender])
        told.append(f"cancelled {sender.cancelled()}, {sender.cancelling()} time")
        return told

    assert run(main) == ["dropped True", "cancelled outside", "cancelled True, 1 time"]


def test_who_is_not_cancelled_goes_on() -> None:
    """S12: `send` raises after a while where a task that was told does nothing about it."""

    async def main(parting: Parting) -> list[bool]:
        parting._listener = asyncio.create_task(asyncio.sleep(0))
        untold = await parting.others_come_first()
        await parting.disconnect()
        told = await parting.others_come_first()
        return [untold, told, await parting.others_come_first()]

    assert run(main) == [True, False, False]


def test_the_second_cancellation_is_not_put_off() -> None:
    """S12: nobody is kept from ending for ever."""

    async def main(parting: Parting) -> bool:
        async def app() -> None:
            while True:
                parting._listener, parting._told = asyncio.create_task(asyncio.sleep(0)), 1
                await parting.others_come_first()

        task = asyncio.create_task(app())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run(main)
