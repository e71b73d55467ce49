"""One connection to Redis."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from bridge.channels.redis import connection as connections
from bridge.channels.redis.connection import Address, Connection, Refused, pack
from bridge.errors import ConfigError, LayerUnavailable
from tests.support.hosts import Host, free_port, start
from tests.support.redis import needs_redis, redis, redis_url

pytestmark = needs_redis


class Talk:
    """A connection, and what has come by it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.answers: asyncio.Queue[Any] = asyncio.Queue()
        self.end: asyncio.Queue[LayerUnavailable] = asyncio.Queue()
        connection.begin(self.answers.put_nowait, self.end.put_nowait)

    async def ask(self, *command: Any) -> Any:
        self.connection.write(pack(*command))
        return await self.answers.get()


async def talk(url: str) -> Talk:
    return Talk(await Address(url, "test").connect())


def problem(url: str) -> str:
    """Why Redis cannot be used."""

    async def main() -> str:
        with pytest.raises(LayerUnavailable) as caught:
            await Address(url, "test").connect()
        return str(caught.value)

    return asyncio.run(main())


# ------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a", "schemes"),
        ("redis://a:b", "Port"),
        ("", "schemes"),
        ("redis", "schemes"),
        ("redis://a/b", "the database is 'b'"),
        ("unix://", "it has no path"),
        ("redis://a?colour=blue", "colour"),
    ],
)
def test_addresses_that_are_wrong(url: str, said: str) -> None:
    """L13: an address that cannot be one is refused with what is wrong and what is allowed."""
    with pytest.raises(ConfigError, match=said) as caught:
        Address(url, "test")
    assert "write redis://host:port/number" in str(caught.value)


def test_passwords_are_not_shown() -> None:
    """L13: neither an error nor what is shown of an address has the password in it."""
    assert Address("redis://me:secret@h:1/2", "test").shown == "h:1, database 2"
    assert Address("redis://[::1]:1", "test").shown == "[::1]:1, database 0"
    assert Address("unix:///a/b?db=3", "test").shown == "/a/b, database 3"
    with pytest.raises(ConfigError) as caught:
        Address("redis://me:secret@h:x", "test")
    assert "secret" not in str(caught.value)


def test_settings_of_a_pool_are_no_error() -> None:
    """L8: an address that was written for another program, with settings of a pool, is taken."""
    assert Address("redis://h?max_connections=5&timeout=1&protocol=3", "test").shown


def test_without_the_libraries() -> None:
    """L13: without the library, the error says how to install it."""
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from bridge.errors import ConfigError\n"
        "try: import bridge.channels.redis.connection\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'asgi-bridge[redis]'" in done.stdout


# ------------------------------------------------------------- commands


def test_commands(redis_server: Host) -> None:
    """L8: commands and answers; what Redis refuses is an error of the command alone."""

    async def main() -> None:
        redis = await talk(redis_url(redis_server))
        assert await redis.ask("SET", "a", b"\xff") == b"OK"
        refused = await redis.ask("LPOP", "a")
        assert isinstance(refused, Refused)
        assert (refused.code, "another program" in str(refused)) == ("WRONGTYPE", True)
        assert await redis.ask("GET", "a") == b"\xff"
        assert await redis.ask("CLIENT", "GETNAME") == b"test"
        assert await redis.ask("CLIENT", "ID") == redis.connection.server.client_id
        await redis.connection.close()
        await redis.connection.close()
        assert redis.end.empty()

    asyncio.run(main())


def test_a_huge_answer(redis_server: Host) -> None:
    """L8: an answer of many MB comes whole."""

    async def main() -> None:
        redis = await talk(redis_url(redis_server))
        assert await redis.ask("SET", "huge", b"x" * 40_000_000) == b"OK"
        assert len(await redis.ask("GET", "huge")) == 40_000_000
        assert await redis.ask("DEL", "huge") == 1
        await redis.connection.close()

    asyncio.run(main())


def test_the_other_side_closes(redis_server: Host) -> None:
    """L8: the end of a connection is told once, also if it came before anybody asked."""

    async def main() -> None:
        redis = await talk(redis_url(redis_server))
        redis.connection.write(pack("QUIT"))
        assert "broke: it was closed by the other side" in str(await redis.end.get())
        early = await Address(redis_url(redis_server), "early").connect()
        other = await talk(redis_url(redis_server))
        assert await other.ask("CLIENT", "KILL", "ID", early.server.client_id) == 1
        await asyncio.sleep(0.05)  # mostly it has gone then; if not, it is told all the same
        assert "broke" in str(await Talk(early).end.get())
        assert redis.end.empty()
        for each in (redis.connection, other.connection, early):
            await each.close()

    asyncio.run(main())


def test_what_is_not_redis(redis_server: Host) -> None:
    """L13: bytes that are not of Redis' protocol end the connection, and the error says so."""

    async def main() -> None:
        redis = await talk(redis_url(redis_server))
        redis.connection.data_received(b"HTTP/1.1 400 Bad Request\r\n")
        assert "not of Redis' protocol" in str(await redis.end.get())
        await redis.connection.close()

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["unix", "rediss"])
def test_other_ways(scheme: str, tmp_path: Path) -> None:
    """L8: Unix sockets and TLS, whose certificate is checked."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "k")
    authority.cert_pem.write_to_path(tmp_path / "ca")
    path, tls = tmp_path / "s", free_port()
    options = (
        *("--unixsocket", str(path), "--tls-port", str(tls), "--tls-auth-clients", "no"),
        *("--tls-cert-file", str(tmp_path / "k"), "--tls-key-file", str(tmp_path / "k")),
        *("--tls-ca-cert-file", str(tmp_path / "ca")),
    )
    url = {"unix": f"unix://{path}?db=1", "rediss": f"rediss://127.0.0.1:{tls}/1"}[scheme]
    with start(redis(*options)) as host:
        if scheme == "rediss":
            assert "certificate" in problem(url)
            url += f"?ssl_ca_certs={tmp_path / 'ca'}"

        async def main() -> None:
            one, plain = await talk(url), await talk(redis_url(host, 1))
            assert await one.ask("SET", "a", "b" * 100_000) == b"OK"
            assert len(await plain.ask("GET", "a")) == 100_000
            for each in (one, plain):
                await each.connection.close()

        asyncio.run(main())


# ------------------------------------------------------------- what cannot be used


def test_nothing_there() -> None:
    """L13: if nothing answers, the error names the address and what to look for."""
    said = problem(f"redis://:secret@127.0.0.1:{free_port()}/0")
    assert "is it running there" in said
    assert "secret" not in said
    assert "does not answer" in problem("unix:///nowhere/redis")


def test_something_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """L13: one that takes connections and says nothing is given up after a time."""
    monkeypatch.setattr(connections, "CONNECT_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "does it hang" in problem(f"redis://127.0.0.1:{port}/0")


def test_an_error_that_is_not_of_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """L8: being cancelled while connecting stays that."""

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = Address(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "test")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await address.connect()

    asyncio.run(main())


def test_passwords_and_rights() -> None:
    """L13: a password that is missing or wrong, and rights that are missing, are told as such."""
    poor, none = "poor on >p ~* +@all -info -command -client|id", "none on >n ~* +auth"
    acl = ("--requirepass", "secret", "--user", *poor.split(), "--user", *none.split())
    with start(redis(*acl)) as host:
        place = f"127.0.0.1:{host.port}/0"
        assert "NOAUTH" in (said := problem(f"redis://{place}"))
        assert "give the password in the address" in said
        assert "WRONGPASS" in problem(f"redis://:wrong@{place}")
        assert "NOPERM" in problem(f"redis://none:n@{place}")

        async def main() -> None:
            full, poor = (
                await talk(f"redis://:secret@{place}"),
                await talk(f"redis://poor:p@{place}"),
            )
            assert poor.connection.server == (b"", 0)
            assert full.connection.server.run_id
            await full.connection.close()
            await poor.connection.close()

        asyncio.run(main())
    with start(redis()) as host:
        assert "without any password" in problem(f"redis://:p@127.0.0.1:{host.port}/0")


def test_too_old() -> None:
    """L13: a Redis without the command that waits is refused, with the version that is needed."""
    with start(redis("--rename-command", "BLMPOP", "")) as host:
        assert "Redis 7.0 or newer is needed" in problem(redis_url(host))


def test_one_that_still_reads_its_data(tmp_path: Path) -> None:
    """L13: a Redis that has just been started says that it is not ready yet."""
    with start(redis("--dir", str(tmp_path))) as host:

        async def fill() -> None:
            one = await talk(redis_url(host))
            fill = "for i = 1, 20000 do redis.call('SET', i, string.rep('x', 100)) end"
            await one.ask("EVAL", fill, 0)
            assert await one.ask("SAVE") == b"OK"
            await one.connection.close()

        asyncio.run(fill())
    slowly = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    with start(redis("--dir", str(tmp_path), *slowly)) as host:
        assert "LOADING" in problem(redis_url(host))
        host.kill()


def test_hints() -> None:
    """L13: what an operator can do about it stands with what Redis says."""
    assert str(Refused("OOM command not allowed.")).startswith("OOM command not allowed; ")
    assert "maxmemory" in str(Refused("OOM command not allowed."))
    assert str(Refused("ERR something")) == "ERR something"
