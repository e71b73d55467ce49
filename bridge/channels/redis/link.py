"""A process's two connections to Redis: one that sends, one that waits for news (rule L8).

Commands of one turn of the loop leave together, and their answers come in the same order: no
command waits for the answer to another. If one of the two connections breaks, both are made anew,
after pauses that grow, for ever. What was under way then fails with `LayerUnavailable`: nobody can
know whether Redis has done it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final, NamedTuple

from bridge.channels.redis.connection import Address, Connection, Refused, UnknownScript
from bridge.errors import LayerUnavailable
from bridge.log import logger

#: Seconds before the first attempt to connect again, and at most.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0


class Script:
    """A Lua script, which Redis runs as one step."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Call(NamedTuple):
    """A command that waits for its answer."""

    future: asyncio.Future[Any] | None  #: None: nobody wants the answer
    again: list[bytes] | None  #: what to send if Redis does not know the script


class Link:
    """The connections of one process, or of one part of it. Belongs to the loop that opens it."""

    def __init__(self, url: str, name: str = "bridge") -> None:
        self._address = Address(url, name)
        self.name = name
        #: Whether commands can be sent now.
        self.up = False
        #: Redis' numbers of the two connections: the one that sends, the one that waits.
        self.client_ids: tuple[int, int] = (0, 0)
        #: Called when the connections are lost, and when they are back.
        self.on_lost: list[Callable[[], None]] = []
        self.on_back: list[Callable[[], None]] = []
        self._sender: Connection
        self._waiter: Connection
        self._calls: deque[_Call] = deque()
        self._outgoing: list[bytes] = []
        self._written = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._broken: asyncio.Future[LayerUnavailable] | None = None
        self._error = LayerUnavailable("the connection to Redis is not open")

    @property
    def shown(self) -> str:
        """Return the address for people."""
        return self._address.shown

    async def open(self) -> None:
        """Connect, and stay connected until `close`. Raises `LayerUnavailable` if it cannot."""
        await self._connect()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Close both connections. What is under way fails."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        keeper.cancel()
        await asyncio.wait([keeper])
        self._fail(LayerUnavailable("the connection to Redis was closed"))
        await self._sender.close()
        await self._waiter.close()

    # --------------------------------------------------------- commands

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command; the future gets its answer, or `Refused` or `LayerUnavailable`.

        Raises `LayerUnavailable` if there is no connection now.
        """
        return self._send(self._sender_or_raise().pack(*command), None)

    def run(self, script: Script, keys: Sequence[Any], args: Sequence[Any]) -> asyncio.Future[Any]:
        """Run a script; as `call`."""
        pack = self._sender_or_raise().pack
        packed = pack("EVALSHA", script.sha, len(keys), *keys, *args)
        again = pack("EVAL", script.text, len(keys), *keys, *args)
        return self._send(packed, again)

    def post(self, *command: Any) -> None:
        """Send a command whose answer nobody waits for; an error in it is logged."""
        packed = self._sender_or_raise().pack(*command)
        self._enqueue(packed, _Call(None, None))

    async def wait(self, *command: Any) -> Any:
        """Send a command that takes its time, by the connection that waits; one at a time.

        Cancelling it breaks that connection, since its answer may come later: use `unblock`.
        """
        self._sender_or_raise()
        waiter, answered = self._waiter, False
        try:
            answer = await waiter.call(*command)
            answered = True
            return answer
        except Refused:
            answered = True
            raise
        except LayerUnavailable as error:
            self._break(error)
            raise
        finally:
            if not answered:
                self._break(LayerUnavailable("a wait for Redis was cancelled"))

    def unblock(self) -> None:
        """Have the command of `wait` return soon, with nothing if nothing has come."""
        if self.up:
            self.post("CLIENT", "UNBLOCK", self.client_ids[1])

    def lose(self, text: str) -> None:
        """Give both connections up, and make new ones: Redis, `text` says, is not to be used."""
        self._break(LayerUnavailable(f"Redis at {self.shown} {text}"))

    def _sender_or_raise(self) -> Connection:
        if not self.up:
            raise LayerUnavailable(str(self._error))
        return self._sender

    def _send(self, packed: list[bytes], again: list[bytes] | None) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._enqueue(packed, _Call(future, again))
        return future

    def _enqueue(self, packed: list[bytes], call: _Call) -> None:
        self._outgoing += packed
        self._calls.append(call)
        if len(self._outgoing) == len(packed):
            self._written.set()

    # --------------------------------------------------------- keeping the connections

    async def _connect(self) -> None:
        """Make both connections."""
        sender, waiter = self._address.connection(), self._address.connection()
        try:
            for each in (sender, waiter):
                await each.connect()
            ids = [await each.call("CLIENT", "ID") for each in (sender, waiter)]
        except BaseException:
            await sender.close()
            await waiter.close()
            raise
        self._sender, self._waiter = sender, waiter
        self.client_ids = (ids[0], ids[1])
        self._broken = asyncio.get_running_loop().create_future()
        self._outgoing = []
        self.up = True

    async def _keep(self) -> None:
        """Write and read until the connections break, then make them anew; for ever."""
        while True:
            error = await self._carry()
            self._fail(error)
            logger.error(
                "%s; what was under way may be lost; connecting again until it answers", error
            )
            for callback in self.on_lost:
                callback()
            await self._sender.close()
            await self._waiter.close()
            await self._reconnect()
            logger.warning("connected to Redis at %s again", self.shown)
            for callback in self.on_back:
                callback()

    async def _carry(self) -> LayerUnavailable:
        """Write commands and read answers; return the error that ends it."""
        assert self._broken is not None
        broken = self._broken
        tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        for task in tasks:
            task.add_done_callback(self._on_ended)
        try:
            return await broken
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    def _on_ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, LayerUnavailable):
            self._break(error)
        elif error is not None:
            self._break(LayerUnavailable(f"the connection to Redis failed: {error!r}"))

    def _break(self, error: LayerUnavailable) -> None:
        if self._broken is not None and not self._broken.done():
            self._broken.set_result(error)

    async def _write(self) -> None:
        while True:
            await self._written.wait()
            self._written.clear()
            outgoing, self._outgoing = self._outgoing, []
            if outgoing:
                await self._sender.write(outgoing)

    async def _read(self) -> None:
        sender, calls = self._sender, self._calls
        while True:
            answer = await sender.read()
            call = calls.popleft()
            if isinstance(answer, Refused):
                self._refused(call, answer)
            elif call.future is not None and not call.future.done():
                call.future.set_result(answer)

    def _refused(self, call: _Call, error: Exception) -> None:
        if isinstance(error, UnknownScript) and call.again is not None:
            self._enqueue(call.again, _Call(call.future, None))
        elif call.future is None:
            logger.error("Redis refused a command: %s", error)
        elif not call.future.done():
            call.future.set_exception(error)

    def _fail(self, error: LayerUnavailable) -> None:
        """Fail what is under way, and all that comes until the connections are back."""
        self.up = False
        self._error = error
        calls, self._calls = self._calls, deque()
        for call in calls:
            if call.future is not None and not call.future.done():
                call.future.set_exception(
                    LayerUnavailable(f"{error}; it may or may not have been done")
                )

    async def _reconnect(self) -> None:
        pause = FIRST_PAUSE
        while True:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            try:
                await self._connect()
                return
            except LayerUnavailable as error:
                self._error = error
            pause = min(2 * pause, LONGEST_PAUSE)
