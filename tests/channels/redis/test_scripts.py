"""What Redis does in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bridge.channels.redis import scripts
from bridge.channels.redis.connection import Refused
from bridge.channels.redis.link import Link
from tests.support.hosts import Host
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis

OLD = b"\x00" * 8 + b"old"
OWN = "." + "0" * 16 + "!"


@pytest.fixture
def with_link(redis_server: Host) -> Callable[[Callable[[Link], Awaitable[None]]], None]:
    """Runs a test with a connection to an empty Redis."""

    async def main(test: Callable[[Link], Awaitable[None]]) -> None:
        link = Link(redis_url(redis_server))
        await link.open()
        await link.call("FLUSHALL")
        await test(link)
        await link.close()

    return lambda test: asyncio.run(main(test))


def test_a_list_that_is_full_makes_room_for_what_has_expired(with_link: Any) -> None:
    """L8: a channel is full of messages that somebody may still read, and of no others."""

    @with_link
    async def _(link: Link) -> None:
        await link.call("RPUSH", "list", OLD)
        assert await link.run(scripts.SEND, ["list"], [1, 60_000, b"new"]) == 1
        assert await link.run(scripts.SEND, ["list"], [1, 60_000, b"more"]) == 0
        assert (await link.call("LRANGE", "list", 0, -1))[0].endswith(b"new")
        assert 0 < await link.call("PTTL", "list") <= 60_000


def test_receiving(with_link: Any) -> None:
    """L8: what has expired is not given out; the first list that has something is named."""

    @with_link
    async def _(link: Link) -> None:
        assert await link.run(scripts.RECEIVE, ["a", "b"], []) is None
        await link.call("RPUSH", "a", OLD, OLD)
        await link.run(scripts.SEND, ["b"], [1, 60_000, b"new"])
        place, element = await link.run(scripts.RECEIVE, ["a", "b"], [])
        assert (place, element[8:]) == (2, b"new")
        assert await link.call("EXISTS", "a", "b") == 0


def test_putting_back(with_link: Any) -> None:
    """L8: what is put back stands before the rest, in its order, and not for ever."""

    @with_link
    async def _(link: Link) -> None:
        await link.call("RPUSH", "list", b"3")
        await link.run(scripts.PUT_BACK, ["list"], [60_000, b"1", b"2"])
        assert await link.call("LRANGE", "list", 0, -1) == [b"1", b"2", b"3"]
        assert 0 < await link.call("PTTL", "list") <= 60_000


async def send_group(link: Link, *capacities: Any, expiry: int = 60_000) -> Any:
    args = [86_400_000, expiry, 1, 2, "q:", b"<", b">", OWN, *capacities]
    return await link.run(scripts.SEND_GROUP, ["group"], args)


async def add(link: Link, *channels: str) -> None:
    for each in channels:
        await link.run(scripts.GROUP_ADD, ["group"], [86_400_000, each])


def test_one_element_for_each_process(with_link: Any) -> None:
    """L8: a message to a group is one element for each process, with all its channels there."""

    @with_link
    async def _(link: Link) -> None:
        await add(link, "p!1", "p!2", "q!3", "n", "a" + OWN + "4")
        reached, full, own = await send_group(link)
        assert sorted(reached) == [[b"n", 1], [b"p!", 2], [b"q!", 1]]
        assert (full, own) == ([], [b"a" + OWN.encode() + b"4"])
        (element,) = await link.call("LRANGE", "q:p!", 0, -1)
        assert element[8:] == b"<\x92\xa3p!1\xa3p!2>"
        assert await link.call("EXISTS", "q:a" + OWN) == 0


def test_queues_that_are_full(with_link: Any) -> None:
    """L8: they are named with how many channels did not get the message."""

    @with_link
    async def _(link: Link) -> None:
        client = "c." + "1" * 16 + "!"
        await add(link, "p!1", "p!2", client + "3", "n")
        await link.call("SET", "q:n", "of another type")
        for reached in ([[b"p!", 2], [client.encode(), 1]], [[client.encode(), 1]], []):
            found = await send_group(link)
            assert sorted(found[0]) == sorted(reached)
        assert sorted(found[1]) == sorted([[b"p!", 2], [client.encode(), 1], [b"n", 1]])
        assert [b"p!", 2] in (await send_group(link, "p!", 2, "other", 7))[0]


def test_queues_that_nobody_reads(with_link: Any) -> None:
    """L8: one with a message that has expired loses its memberships; others keep theirs."""

    @with_link
    async def _(link: Link) -> None:
        await add(link, "p!1", "p!2", "n")
        await link.call("RPUSH", "q:p!", OLD)
        assert (await send_group(link))[:2] == [[[b"n", 1]], []]
        assert await link.run(scripts.GROUP_CHANNELS, ["group"], [86_400_000]) == [b"n"]


def test_memberships_end(with_link: Any) -> None:
    """L8: those that are older than a membership lasts are gone."""

    @with_link
    async def _(link: Link) -> None:
        await link.call("ZADD", "group", 1, "old")
        await add(link, "new")
        assert await link.run(scripts.GROUP_CHANNELS, ["group"], [86_400_000]) == [b"new"]
        await link.call("ZADD", "group", 1, "old")
        assert (await send_group(link))[0] == [[b"new", 1]]
        assert 0 < await link.call("PTTL", "group") <= 86_400_000


def test_what_waits(with_link: Any) -> None:
    """L8: how many messages wait, and for how long they still may; of lists only."""

    @with_link
    async def _(link: Link) -> None:
        assert await link.run(scripts.PENDING, ["list"], []) == [0, 0]
        await link.call("RPUSH", "list", OLD)
        for _ in range(2):
            await link.run(scripts.SEND, ["list"], [9, 60_000, b"new"])
        count, left = await link.run(scripts.PENDING, ["list"], [])
        assert (count, 0 < left <= 60_000) == (2, True)
        await link.call("RPUSH", "half", b"short")
        assert await link.run(scripts.PENDING, ["half"], []) == [1, 0]
        await link.call("SET", "other", 1)
        assert await link.run(scripts.PENDING, ["other"], []) == [0, 0]
        with pytest.raises(Refused, match="WRONGTYPE"):
            await link.run(scripts.SEND, ["other"], [9, 60_000, b"new"])


def test_what_may_be_a_list(with_link: Any) -> None:
    """L13: keys of another type are told from lists, and from those that are not there yet."""

    @with_link
    async def _(link: Link) -> None:
        await link.call("RPUSH", "list", OLD)
        await link.call("SET", "other", 1)
        assert await link.run(scripts.MAY_BE_LISTS, ["list", "other", "none"], []) == [1, 0, 1]
