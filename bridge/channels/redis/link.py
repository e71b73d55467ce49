"""A process's two connections to Redis: one that sends, one that waits for news (rule L8).

If one of the two breaks, both are made anew, after pauses that grow, for ever. What was under way
then fails with `LayerUnavailable`: nobody can know whether Redis has done it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from bridge.channels.redis.connection import Address, Connection, Refused, Server, pack
from bridge.channels.redis.pipeline import Pipeline, Script
from bridge.errors import LayerUnavailable, pluralize
from bridge.log import logger

__all__ = ["Link", "Script"]

#: Seconds before the first attempt to connect again, and at most.
FIRST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 2.0
#: Seconds after which a wait that had not begun is asked again to end.
_UNBLOCK_AGAIN: Final = 0.002


class Link:
    """The connections of one process, or of one part of it. Belongs to the loop that opens it."""

    def __init__(self, url: str, name: str = "bridge") -> None:
        self._address = Address(url, name)
        self.name = name
        #: Whether there is a connection now.
        self.up = False
        #: Redis' numbers of the two connections: the one that sends, the one that waits.
        self.client_ids: tuple[int, int] = (0, 0)
        #: Called when the connections are lost, and when they are back.
        self.on_lost: list[Callable[[], None]] = []
        self.on_back: list[Callable[[], None]] = []
        self._connections: list[Connection] = []
        #: The commands under way; None: there is no connection, and none is being made the first
        #: time.
        self._pipeline: Pipeline | None = None
        self._waiting: asyncio.Future[Any] | None = None
        #: The wait that is being ended.
        self._unblocking: asyncio.Future[Any] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._server = Server(b"", 0)
        self._why = "the connection to Redis is not open"

    @property
    def shown(self) -> str:
        """Return the address for people."""
        return self._address.shown

    async def open(self, *, insist: bool = False) -> None:
        """Connect, and stay connected until `close`. Raises `LayerUnavailable` if it cannot.

        With `insist` it goes on trying then. Commands that are given meanwhile wait for the first
        attempt.
        """
        pipeline = self._pipeline = Pipeline(self.lose)
        try:
            await self._connect(pipeline)
        except BaseException as error:
            self._pipeline, self._why = None, str(error) or repr(error)
            pipeline.fail(self._why)
            if insist and isinstance(error, LayerUnavailable):
                logger.error("%s; trying again until it answers", error)
                self._keeper = asyncio.create_task(self._reconnect())
            raise

    async def close(self) -> None:
        """Close both connections. What is under way fails."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            await asyncio.wait([keeper])
        self._fail("the connection to Redis was closed")
        await self._close_connections()

    # --------------------------------------------------------- commands

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command; the future gets its answer, or `Refused`, or `LayerUnavailable`.

        Raises `LayerUnavailable` if there is no connection now.
        """
        return self._way().call(*command)

    def run(
        self,
        script: Script,
        keys: Sequence[Any],
        args: Sequence[Any],
        unclaimed: Callable[[Any], object] | None = None,
    ) -> asyncio.Future[Any]:
        """Run a script; as `call`. The answer goes to `unclaimed` if the future was cancelled."""
        return self._way().run(script, keys, args, unclaimed)

    def post(self, *command: Any, on_refused: Callable[[Refused], object] | None = None) -> None:
        """Send a command whose answer nothing waits for; `on_refused` gets an error, or the log."""
        self._way().post(*command, on_refused=on_refused)

    def check(self) -> None:
        """Raise `LayerUnavailable` if commands cannot be given now."""
        self._way()

    def _way(self) -> Pipeline:
        if self._pipeline is None:
            raise LayerUnavailable(self._why)
        return self._pipeline

    # --------------------------------------------------------- waiting for news

    async def wait(self, *command: Any) -> Any:
        """Send a command that takes its time, by the connection that waits; one at a time.

        Cancelling it breaks that connection, since its answer may come later: use `unblock`.
        """
        if not self.up:
            raise LayerUnavailable(self._why)
        if self._waiting is not None:
            raise RuntimeError("something else waits already")
        waiting = self._waiting = asyncio.get_running_loop().create_future()
        self._connections[1].write(pack(*command))
        try:
            return await waiting
        finally:
            if self._waiting is waiting:
                self._waiting = None
                if waiting.cancelled():
                    self.lose("had not answered when a wait was cancelled")

    def unblock(self) -> None:
        """Have the command of `wait` return soon, with nothing if nothing has come.

        Redis may get this before the command, by the other connection; then it is said again.
        """
        if self._waiting is not None and self._unblocking is not self._waiting:
            self._unblock(self._waiting)

    def _unblock(self, waiting: asyncio.Future[Any]) -> None:
        if waiting.done() or self._pipeline is None:
            return
        self._unblocking = waiting

        def look(answer: asyncio.Future[Any]) -> None:
            if answer.cancelled() or answer.exception() is not None:
                return  # the connection is lost, and the wait with it
            if answer.result() == 0:
                loop.call_later(_UNBLOCK_AGAIN, self._unblock, waiting)

        loop = asyncio.get_running_loop()
        self._pipeline.call("CLIENT", "UNBLOCK", self.client_ids[1]).add_done_callback(look)

    def _answered(self, answer: Any) -> None:
        """Take the answer to the command of `wait`."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            if isinstance(answer, Refused):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)

    # --------------------------------------------------------- keeping the connections

    def lose(self, what: str) -> None:
        """Give both connections up, and make new ones: Redis ..., `what` says, cannot be used."""
        self._lost(LayerUnavailable(f"Redis at {self.shown} {what}"))

    async def _connect(self, pipeline: Pipeline | None = None) -> None:
        """Make both connections."""
        sender = await self._address.connect()
        try:
            waiter = await self._address.connect()
        except BaseException:
            await sender.close()
            raise
        pipeline = pipeline or Pipeline(self.lose)
        if sender.server.run_id == self._server.run_id and self.client_ids[1]:
            # Redis may not know yet that the one before is dead, and give it messages.
            pipeline.post("CLIENT", "KILL", "ID", self.client_ids[1])
        self._connections = [sender, waiter]
        self._server = sender.server
        self.client_ids = (sender.server.client_id, waiter.server.client_id)
        self._pipeline, self.up = pipeline, True
        sender.begin(pipeline.take, self._lost)
        waiter.begin(self._answered, self._lost)
        pipeline.begin(sender)

    def _fail(self, why: str) -> int:
        """Fail what is under way, and all that comes; return how many commands that were."""
        pipeline, self._pipeline = self._pipeline, None
        self.up, self._why = False, why
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(LayerUnavailable(why))
        if pipeline is None:
            return 0
        number = len(pipeline)
        pipeline.fail(f"{why}; it may or may not have been done")
        return number

    def _lost(self, error: LayerUnavailable) -> None:
        if not self.up:
            return
        number = self._fail(str(error))
        for each in self._connections:
            each.drop()
        logger.error(
            "%s; %s without an answer may or may not have been done; connecting again until it "
            "answers",
            error,
            pluralize(number, "command"),
        )
        self._tell(self.on_lost)
        self._keeper = asyncio.get_running_loop().create_task(self._reconnect())

    def _tell(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                logger.exception("a callback of the connection to Redis failed")

    async def _close_connections(self) -> None:
        for each in self._connections:
            await each.close()

    async def _reconnect(self) -> None:
        """Connect again, as often as it takes."""
        await self._close_connections()
        pause, before = FIRST_PAUSE, self._server.run_id
        while not self.up:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            try:
                await self._connect()
            except LayerUnavailable as error:
                self._why = str(error)
            except Exception as error:  # no descriptor is left, say
                self._why = f"no connection to Redis at {self.shown} can be made: {error!r}"
            pause = min(2 * pause, LONGEST_PAUSE)
        logger.warning("connected to Redis at %s%s", self.shown, self._what_is_new(before))
        self._tell(self.on_back)

    def _what_is_new(self, before: bytes) -> str:
        if not before or before == self._server.run_id:
            return ""
        return "; it was started anew: messages and groups that it had not saved are lost"
