"""How one request went, as far as its messages tell (M21).

    the app raises, or breaks off its response         a failure of the app
    the client leaves before it has the response       nobody's, whatever the app makes of that
    the server cancels the app                         nobody's, unless the app took too long

So nobody outside can have an app taken back by hanging up. Both sides are judged by the same rules.

The duration that counts is what the app takes: up to the beginning of its answer, without the time
in which it waits for the request. A client that sends slowly, or reads slowly, makes no app slow.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from time import perf_counter

from bridge.errors import OVER_TIME, ClientDisconnected
from bridge.types import Message, Receive, Scope, Send

#: What begins an answer.
_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
#: What ends it, unless more follows.
_ENDS = frozenset(
    {
        *("http.response.body", "http.response.pathsend", "http.response.zerocopysend"),
        *("websocket.http.response.body", "websocket.close"),
    }
)
_LEFT = frozenset({"http.disconnect", "websocket.disconnect"})
_ACCEPTED = 101


class Outcome:
    """Stands between an app and its host: `receive` and `send` are what the app gets.

    `status` is that of the response, 0 until there is one; 101 for a WebSocket that was accepted,
    403 for one that was refused. `clock` is `time.perf_counter`, or stands for it.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        #: Seconds for which the app has waited for the rest of the request.
        self.client_took = 0.0
        #: When the answer began; 0 until it does.
        self._answered = 0.0
        self._clock = clock
        self.status = 0
        #: The client has left, and did not have the whole response.
        self.left = False
        #: The old app answers what the new one has failed.
        self.rescued = False
        self._is_websocket = scope["type"] == "websocket"
        self._receive = receive
        self._send = send
        #: The app has sent all of its answer.
        self._complete = False
        #: The app has all of the request; while it waits for more, the client is slow.
        self._whole = self._is_websocket
        self._uploading = False

    async def receive(self) -> Message:
        """Return the next message of the client's."""
        self._uploading = not self._whole
        since = self._clock()
        try:
            message = await self._receive()
        finally:
            if self._uploading and not self._answered:
                self.client_took += self._clock() - since
            self._uploading = False
        kind = message["type"]
        if kind == "http.request":
            self._whole = not message.get("more_body")
        elif kind in _LEFT and not self._complete:
            self.left = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message of the app's."""
        kind = message["type"]
        if not self._answered and kind in _STARTS:
            self._answered = self._clock()
        if not self.left:
            if kind in _STARTS:
                self.status = message.get("status", _ACCEPTED)
            elif kind in _ENDS and not message.get("more_body"):
                self._complete = True
                self.status = self.status or 403
        try:
            await self._send(message)
        except OSError:  # so a server says that the client is gone (ASGI)
            self.left = True
            raise

    @property
    def unanswered(self) -> bool:
        """Whether only the app is waited for, and has not begun to answer."""
        return not (self.status or self.left or self._uploading)

    def ended(self, error: BaseException | None) -> int:
        """Return the status that counts, now that the app has returned or raised (`Canary`)."""
        if self.rescued:
            return 500
        if self._complete and not self.left:
            return self.status
        nobodys = self.status if self.status == _ACCEPTED else 0
        if self.left or isinstance(error, ClientDisconnected | GeneratorExit):
            return nobodys
        if isinstance(error, CancelledError):
            return 504 if OVER_TIME in error.args else nobodys
        if error is None and self.status == _ACCEPTED:
            return self.status
        return 500

    def seconds(self, started: float) -> float | None:
        """Return the duration that counts, of a request that began then; None: it says nothing."""
        if self._is_websocket:
            return None
        return max((self._answered or self._clock()) - started - self.client_took, 0.0)
