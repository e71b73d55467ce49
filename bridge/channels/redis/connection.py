"""One connection to Redis: the one place that uses the libraries `redis` and `hiredis`.

`redis` knows addresses, passwords and TLS, and connects. Then the socket is ours: commands go out
as bytes, and each answer is passed on as soon as it is there, without a task or a wait for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from bridge.errors import ConfigError, LayerUnavailable

try:
    from hiredis import ProtocolError, Reader, pack_command
    from redis import exceptions
    from redis.asyncio.connection import Connection as PlainConnection
    from redis.asyncio.connection import UnixDomainSocketConnection, parse_url
except ImportError as error:
    raise ConfigError(
        "channels over Redis need the libraries redis, hiredis and msgpack: "
        "pip install 'asgi-bridge[redis]'"
    ) from error

#: Seconds that a connection may take to be made, with the talk that begins it.
CONNECT_TIMEOUT: Final = 5.0
ALLOWED: Final = (
    "write redis://host:port/number, rediss:// with TLS, or unix:///path?db=number; with a "
    "password redis://:password@host"
)

#: What an operator can do about what Redis says, by its first word.
_HINTS: Final = {
    "NOAUTH": "give the password in the address, as in redis://:password@host",
    "WRONGPASS": "the user or password in the address is wrong",
    "NOPERM": "its user may not do this; see ACL in the manual of Redis",
    "LOADING": "it has just been started; it answers when it has read its data",
    "OOM": "it has no memory left; give it more (maxmemory)",
    "READONLY": "it is a replica; give the address of its primary",
    "MISCONF": "it cannot write to its disk; see its log",
    "WRONGTYPE": "does another program use keys of the same prefix?",
    "MOVED": "it is part of a cluster, which is not supported; give the address of one Redis",
    "CROSSSLOT": "it is part of a cluster, which is not supported; give the address of one Redis",
}
#: Probes of a connection that is silent, by which a host that has gone is noticed.
_KEEPALIVE: Final = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}
#: Settings of the library that an address may not change.
_OURS: Final[dict[str, Any]] = {
    "protocol": 2,
    "decode_responses": False,
    "socket_timeout": None,
    "socket_connect_timeout": CONNECT_TIMEOUT,
    "health_check_interval": 0,
}
#: What is read from the socket: an answer, a `Refused`, or this: nothing whole yet.
_NOTHING: Final = False


class Refused(Exception):
    """Redis has refused a command; `code` is the first word of what it said."""

    def __init__(self, said: str) -> None:
        self.code = said.partition(" ")[0]
        hint = _HINTS.get(self.code)
        super().__init__(f"{said.rstrip('.')}; {hint}" if hint else said)


def pack(*command: Any) -> bytes:
    """Turn a command into bytes. Its parts are str, bytes, int or float."""
    packed: bytes = pack_command(command)
    return packed


class Server(NamedTuple):
    """What a Redis says about itself when we connect."""

    run_id: bytes  #: another after each start; empty if it does not say
    client_id: int  #: its number of this connection


class Address:
    """Where a Redis is: ``redis://[user:password@]host:port/db``, ``rediss://`` or ``unix://``.

    `name` is shown in Redis' list of clients. Raises `ConfigError` for what cannot be an address.
    """

    def __init__(self, url: str, name: str) -> None:
        try:
            self._options: dict[str, Any] = _parse(url)
            self._class: Any = self._options.pop("connection_class", PlainConnection)
            self._options |= {**_OURS, "client_name": name}
            if self._class is not UnixDomainSocketConnection:
                self._options |= {
                    "socket_keepalive": True,
                    "socket_keepalive_options": _KEEPALIVE,
                }
            self._class(**self._options)  # raises for options that there are not
        except (ValueError, TypeError, exceptions.RedisError) as error:
            raise ConfigError(
                f"the address of Redis, {_without_password(url)!r}, is wrong: {error}; {ALLOWED}"
            ) from error
        host, port = self._options.get("host", "localhost"), self._options.get("port", 6379)
        place = self._options.get("path", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        #: For people, without the password.
        self.shown = f"{place}, database {self._options.get('db', 0)}"

    async def connect(self) -> Connection:
        """Connect. Raises `LayerUnavailable` if it does not answer, or is none that we can use."""
        library = self._class(**self._options)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await library.connect()
                server = await _talk(library)
        except BaseException as error:
            await _close(library)
            problem = self._problem(error)
            if problem is None:
                raise
            raise LayerUnavailable(problem) from error
        return Connection(library, self.shown, server)

    def _problem(self, error: BaseException) -> str | None:
        """Return what an error while connecting means; None: it is not Redis'."""
        if isinstance(error, Refused):
            return f"Redis at {self.shown} cannot be used: {error}"
        if isinstance(error, TimeoutError | exceptions.TimeoutError):
            return (
                f"Redis at {self.shown} does not answer: nothing came for {CONNECT_TIMEOUT:.0f} s; "
                "does it hang, or does a firewall stand between?"
            )
        refused = (exceptions.ResponseError, exceptions.AuthenticationError)
        if isinstance(error, (*refused, exceptions.BusyLoadingError)):
            return f"Redis at {self.shown} cannot be used: {Refused(_original(error))}"
        if isinstance(error, exceptions.RedisError | OSError):
            return f"Redis at {self.shown} does not answer: {error}; is it running there?"
        return None


def _parse(url: str) -> dict[str, Any]:
    """Return the settings in an address. Raises ValueError."""
    options: dict[str, Any] = {**parse_url(url)}
    for name in ("max_connections", "timeout"):
        options.pop(name, None)  # of a pool
    _, _, place = url.partition("://")
    path = place.partition("?")[0].partition("/")[2]
    if not url.startswith("unix:"):
        if path.strip("/") and not path.strip("/").isdecimal():
            raise ValueError(f"the database is {path!r}, and must be a number")
    elif not options.get("path"):
        raise ValueError("it has no path")
    return options


def _without_password(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2]


def _original(error: Exception) -> str:
    """Return what Redis said: the library takes some of the first words away."""
    said, first = str(error), ""
    if isinstance(error, exceptions.NoPermissionError):
        first = "NOPERM "
    elif isinstance(error, exceptions.BusyLoadingError):
        first = "LOADING "
    elif "invalid" in said:
        first = "WRONGPASS "
    elif "required" in said:
        first = "NOAUTH "
    return first + said


async def _ask(library: Any, *command: str) -> Any:
    """Return the answer to a command; None if the user that we are may not give it."""
    await library.send_command(*command)
    try:
        return await library.read_response()
    except exceptions.NoPermissionError:
        return None


async def _talk(library: Any) -> Server:
    """Ask what has to be known of a Redis. Raises `Refused` if it is none that we can use."""
    await _ask(library, "PING")  # refused while it reads its data
    if await _ask(library, "COMMAND", "INFO", "BLMPOP") == [None]:
        raise Refused("it has no command BLMPOP; Redis 7.0 or newer is needed")
    client_id = await _ask(library, "CLIENT", "ID") or 0
    about: bytes = await _ask(library, "INFO", "server") or b""
    run_id = next((line[7:] for line in about.splitlines() if line.startswith(b"run_id:")), b"")
    return Server(run_id, client_id)


async def _close(library: Any) -> None:
    with contextlib.suppress(exceptions.RedisError, OSError):
        await library.disconnect(nowait=True)


class Connection(asyncio.Protocol):
    """A connection that was made by `Address.connect`.

    From `begin` on each answer is passed to ``answered(answer)``, one that is an error as a
    `Refused`, in the order of the commands; and the end of the connection once to
    ``broke(error)``, unless `close` has made it.
    """

    def __init__(self, library: Any, shown: str, server: Server) -> None:
        self.server = server
        self._library = library
        self._shown = shown
        self._transport: asyncio.Transport = library._writer.transport
        self._reader = Reader(replyError=Refused)
        self._answered: Callable[[Any], object] = _ignore
        self._broke: Callable[[LayerUnavailable], object] = _ignore
        #: Sends bytes.
        self.write = self._transport.write

    def begin(
        self,
        answered: Callable[[Any], object],
        broke: Callable[[LayerUnavailable], object],
    ) -> None:
        """Pass answers on from now on."""
        self._answered = answered
        self._broke = broke
        self._transport.set_protocol(self)
        if self._transport.is_closing() or self._library._reader.at_eof():
            asyncio.get_running_loop().call_soon(self.connection_lost, None)

    def drop(self) -> None:
        """End it at once, and pass nothing on any more. `close` has to follow."""
        self._answered = self._broke = _ignore
        self._transport.abort()

    async def close(self) -> None:
        """Close it at once; never raises. What was written and not yet sent is lost."""
        self.drop()
        await _close(self._library)

    # --------------------------------------------------------- called by the event loop

    def data_received(self, data: bytes) -> None:
        """Pass on the answers in `data`."""
        next_answer = self._reader.gets
        try:
            self._reader.feed(data)
            while (answer := next_answer()) is not _NOTHING:
                self._answered(answer)
        except ProtocolError as error:
            self._lose(f"failed: what came is not of Redis' protocol ({error})")

    def connection_lost(self, error: Exception | None) -> None:
        """Tell of the end."""
        self._lose(f"broke: {error or 'it was closed by the other side'}")

    def _lose(self, what: str) -> None:
        broke = self._broke
        self.drop()
        broke(LayerUnavailable(f"the connection to Redis at {self._shown} {what}"))


def _ignore(_: object) -> None:
    return
