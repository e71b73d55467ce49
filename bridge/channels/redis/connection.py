"""One connection to Redis: the one place that uses the library `redis`.

The library knows addresses, passwords, TLS and the protocol. `Connection` is the small part of it
that is needed here: bytes of commands out, answers in. Errors are those of `bridge.errors`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from bridge.errors import ConfigError, LayerUnavailable

try:
    from redis import exceptions
    from redis.asyncio import ConnectionPool
except ImportError as error:  # pragma: no cover: the tests have it
    raise ConfigError(
        "channels over Redis need the libraries redis and msgpack: pip install 'asgi-bridge[redis]'"
    ) from error

#: Seconds that a connection may take to be made.
CONNECT_TIMEOUT: Final = 5.0

#: What Redis answers to a command that it refuses.
Refused = exceptions.ResponseError
#: What it answers to EVALSHA if it does not know the script.
UnknownScript = exceptions.NoScriptError
_BROKEN = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)


class Address:
    """Where a Redis is: ``redis://[user:password@]host:port/db``, ``rediss://`` or ``unix://``.

    Raises `ConfigError` for an address that cannot be one.
    """

    def __init__(self, url: str, name: str) -> None:
        try:
            self._pool: Any = ConnectionPool.from_url(
                url,
                protocol=2,
                client_name=name,
                socket_timeout=None,
                socket_connect_timeout=CONNECT_TIMEOUT,
                health_check_interval=0,
            )
        except (ValueError, TypeError) as error:
            raise ConfigError(
                f"the address of Redis is {url!r}: {error}; write redis://host:port/number, "
                "rediss:// with TLS, or unix:///path"
            ) from error
        about = self._pool.connection_kwargs
        host, port = about.get("host", "localhost"), about.get("port", 6379)
        #: For people, without the password.
        self.shown = str(about.get("path", f"{host}:{port}")) + f", database {about.get('db', 0)}"

    def connection(self) -> Connection:
        """Make a connection, not connected yet."""
        return Connection(self._pool.make_connection(), self.shown)


class Connection:
    """A connection; its methods raise `LayerUnavailable` when it breaks."""

    def __init__(self, connection: Any, shown: str) -> None:
        self._connection = connection
        self._shown = shown
        #: Turns a command into bytes: ``pack("GET", key)``.
        self.pack = connection.pack_command

    async def connect(self) -> None:
        """Connect, and say who we are."""
        try:
            await self._connection.connect()
        except _BROKEN as error:
            raise LayerUnavailable(
                f"Redis at {self._shown} does not answer: {error}; is it running there?"
            ) from error
        except exceptions.RedisError as error:
            raise LayerUnavailable(f"Redis at {self._shown} refuses us: {error}") from error

    async def write(self, packed: Iterable[bytes]) -> None:
        """Write packed commands; returns when the system has taken most of them."""
        try:
            await self._connection.send_packed_command(packed, check_health=False)
        except _BROKEN as error:
            raise self._broken(error) from error

    async def read(self) -> Any:
        """Return the next answer; one that is an error (`Refused`) is returned, too."""
        try:
            return await self._connection.read_response(
                disable_decoding=True, disconnect_on_error=False
            )
        except exceptions.ResponseError as error:
            return error
        except _BROKEN as error:
            raise self._broken(error) from error

    async def call(self, *command: Any) -> Any:
        """Send a command and return its answer, if no other is under way; `Refused` is raised."""
        await self.write(self.pack(*command))
        answer = await self.read()
        if isinstance(answer, Refused):
            raise answer
        return answer

    async def close(self) -> None:
        """Close it; never raises."""
        try:
            await self._connection.disconnect(nowait=True)
        except _BROKEN:
            pass

    def _broken(self, error: Exception) -> LayerUnavailable:
        return LayerUnavailable(f"the connection to Redis at {self._shown} broke: {error}")
