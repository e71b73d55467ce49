"""The commands that are under way on one connection to Redis (rule L8).

Commands of one turn of the loop leave in one write, and their answers come in the same order: no
command waits for the answer to another. They are taken before there is a connection, too, and leave
as soon as there is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha1
from typing import Any, Final

from bridge.channels.redis.connection import Connection, Refused, pack
from bridge.errors import LayerUnavailable
from bridge.log import logger

#: Seconds that Redis may take to answer; after them the connection counts as lost.
ANSWER_TIMEOUT: Final = 5.0
#: They are counted in so many pieces, so that a loop that was busy itself is not mistaken for a
#: Redis that sends nothing: it reads what has come before it counts the next piece.
_PIECES: Final = 5


class Script:
    """A Lua script, which Redis runs as one step."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Call:
    """A command that waits for its answer."""

    __slots__ = ("again", "future", "script", "unclaimed")

    def __init__(
        self,
        future: asyncio.Future[Any] | None,
        script: Script | None = None,
        again: Sequence[Any] = (),
        unclaimed: Callable[[Any], object] | None = None,
    ) -> None:
        self.future = future  #: None: nobody wants the answer
        self.script = script  #: the script that it runs, not sent as text yet
        self.again = again  #: its keys and arguments
        #: Gets the answer if what wanted it was cancelled; without a future, the error.
        self.unclaimed = unclaimed

    def answer(self, value: Any) -> None:
        future = self.future
        if future is None:
            return
        if not future.done():
            future.set_result(value)
        elif self.unclaimed is not None:
            self.unclaimed(value)

    def refuse(self, error: Refused) -> None:
        if self.future is None:
            if self.unclaimed is not None:
                self.unclaimed(error)
            else:
                logger.error("Redis refused a command: %s", error)
        elif not self.future.done():
            self.future.set_exception(error)

    def fail(self, text: str) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_exception(LayerUnavailable(text))


class Pipeline:
    """Sends commands, and passes each answer to what waits for it.

    ``lost(error)`` is called when Redis has not answered for `ANSWER_TIMEOUT` seconds.
    """

    def __init__(self, lost: Callable[[str], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._lost = lost
        self._write: Callable[[bytes], object] | None = None
        self._outgoing: list[bytes] = []
        self._calls: deque[_Call] = deque()
        #: The texts of the scripts that Redis knows, by their hashes.
        self._known: dict[str, str] = {}
        #: Calls of scripts that Redis did not know after all, and what was to be sent after them.
        self._refused: list[tuple[Script, _Call]] = []
        self._held: list[tuple[bytes, _Call]] = []
        #: How often something has come, and in how many pieces of the time nothing has.
        self._heard = 0
        self._silent = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        """Return how many commands are under way."""
        return len(self._calls) + len(self._refused) + len(self._held)

    def begin(self, connection: Connection) -> None:
        """Send by `connection` from now on, first what was taken before."""
        self._write = connection.write
        self._flush()

    # --------------------------------------------------------- commands

    def call(self, *command: Any) -> asyncio.Future[Any]:
        """Send a command; the future gets its answer, or `Refused`, or `LayerUnavailable`."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._send(pack(*command), _Call(future))
        return future

    def post(self, *command: Any, on_refused: Callable[[Refused], object] | None = None) -> None:
        """Send a command whose answer nothing waits for; `on_refused` gets an error, or the log."""
        self._send(pack(*command), _Call(None, None, (), on_refused))

    def run(
        self,
        script: Script,
        keys: Sequence[Any],
        args: Sequence[Any],
        unclaimed: Callable[[Any], object] | None = None,
    ) -> asyncio.Future[Any]:
        """Run a script; as `call`. The answer goes to `unclaimed` if the future was cancelled."""
        if script.sha not in self._known:
            self._known[script.sha] = script.text
            self.post("SCRIPT", "LOAD", script.text)
        future: asyncio.Future[Any] = self._loop.create_future()
        again = (len(keys), *keys, *args)
        self._send(pack("EVALSHA", script.sha, *again), _Call(future, script, again, unclaimed))
        return future

    def _send(self, packed: bytes, call: _Call) -> None:
        if self._refused:
            self._held.append((packed, call))
            return
        self._calls.append(call)
        self._outgoing.append(packed)
        if len(self._outgoing) == 1:
            self._loop.call_soon(self._flush)
        if self._timer is None:
            self._watch()

    def _flush(self) -> None:
        if self._write is not None and self._outgoing:
            outgoing, self._outgoing = self._outgoing, []
            self._write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))

    # --------------------------------------------------------- answers

    def take(self, answer: Any) -> None:
        """Pass on the next answer."""
        call = self._calls.popleft()
        self._heard += 1
        if type(answer) is not Refused:
            call.answer(answer)
        elif answer.code == "NOSCRIPT" and call.script is not None:
            self._refused.append((call.script, call))
            call.script = None
        else:
            call.refuse(answer)
        if self._refused and not self._calls:
            self._send_again()

    def _send_again(self) -> None:
        """Send scripts as text that Redis has forgotten, and then what has come after them.

        Until here nothing new was sent, so that all is done in the order in which it came.
        """
        refused, self._refused = self._refused, []
        held, self._held = self._held, []
        for text in self._known.values():
            self.post("SCRIPT", "LOAD", text)
        for script, call in refused:
            self._send(pack("EVAL", script.text, *call.again), call)
        for packed, call in held:
            self._send(packed, call)

    def fail(self, text: str) -> None:
        """Fail all that is under way."""
        self._write = _nowhere
        if self._timer is not None:
            self._timer.cancel()
        calls = [*self._calls, *(call for _, call in [*self._refused, *self._held])]
        self._calls = deque()
        for call in calls:
            call.fail(text)

    # --------------------------------------------------------- time

    def _watch(self) -> None:
        self._timer = self._loop.call_later(ANSWER_TIMEOUT / _PIECES, self._look, self._heard)

    def _look(self, heard_before: int) -> None:
        self._timer = None
        if not self._calls:
            self._silent = 0
            return
        self._silent = self._silent + 1 if self._heard == heard_before else 0
        if self._silent >= _PIECES and self._write is not None:
            self._lost(f"has not answered for {ANSWER_TIMEOUT:.0f} s")
        else:
            self._watch()


def _nowhere(_: bytes) -> None:
    return
