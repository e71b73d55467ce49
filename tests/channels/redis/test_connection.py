"""One connection to Redis."""

from __future__ import annotations

import asyncio

import pytest

from bridge.channels.redis.connection import Address, Refused
from bridge.errors import ConfigError, LayerUnavailable
from tests.support.hosts import Host, free_port
from tests.support.redis import needs_redis, redis_url

pytestmark = needs_redis


@pytest.mark.parametrize("url", ["http://a", "redis://a:b", "", "redis"])
def test_addresses_that_are_wrong(url: str) -> None:
    """L13: an address that cannot be one is refused with what is allowed."""
    with pytest.raises(ConfigError, match="write redis://host:port/number"):
        Address(url, "test")


def test_commands(redis_server: Host) -> None:
    """L8: commands and answers; what Redis refuses is an error of the command alone."""

    async def main() -> None:
        connection = Address(redis_url(redis_server), "test").connection()
        await connection.connect()
        assert await connection.call("SET", "a", b"\xff") == b"OK"
        with pytest.raises(Refused):
            await connection.call("LPOP", "a")
        assert await connection.call("GET", "a") == b"\xff"
        await connection.close()
        with pytest.raises(LayerUnavailable, match="broke"):
            await connection.read()

    asyncio.run(main())


def test_nothing_there() -> None:
    """L13: if nothing answers, the error names the address and what to look for."""

    async def main() -> None:
        address = Address(f"redis://:secret@127.0.0.1:{free_port()}/0", "test")
        with pytest.raises(LayerUnavailable, match="is it running there") as caught:
            await address.connection().connect()
        assert "secret" not in str(caught.value)

    asyncio.run(main())
