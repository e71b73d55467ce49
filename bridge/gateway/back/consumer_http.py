"""One HTTP request whose consumer, on this worker, is called at once (rules L3, L4, L9, L13).

Most consumers answer soon, by one reply that is the whole response: that leaves as the answer of
any app, and the gateway has never heard of consumers. Else it is told of the consumer, and has the
client: after a moment; when the first reply is not whole; when the call has ended without one. It
listens to the channel layer then, by which all replies go but for a whole one of this call.

A consumer whose client leaves before that, or whose gateway dies, is told so here (L4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import is_disconnect
from bridge.asgi1.call import ConsumerCall
from bridge.asgi1.message import ReplyChannel
from bridge.errors import BridgeError
from bridge.gateway.back.app_session import AppSession, Sessions
from bridge.gateway.back.mounted_consumers import Found
from bridge.gateway.back.reply_clients import HttpClient
from bridge.gateway.consumer_content import TELLS_APART, request_content, session_channel
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import (
    CONSUMER,
    CONSUMERS,
    END,
    EVENTS,
    SESSION,
    Request,
)
from bridge.http.error_response import error_response
from bridge.limits import HIGH_WATER
from bridge.log import logger
from bridge.loops.wait_queue import WaitQueue
from bridge.loops.waiters import unpatched
from bridge.types import ASGIApp, Message, RawHeaders

_get_ident: Final = unpatched("get_ident")
#: Seconds that a consumer has for a whole response, before its gateway is told what it is.
_MOMENT: Final = 0.05


def call_at_once(sessions: Sessions, request: Request, found: Found) -> HttpCall | None:
    """Return the call of a request; None: its gateway must make messages of it."""
    about = (request.scope.get("extensions") or {}).get(CONSUMERS)
    queue = about.get("replies") if isinstance(about, dict) else None
    events = request.events
    if request.scope["type"] != "http" or not isinstance(queue, str) or len(events) != 1:
        return None
    body = events[0].get("body", b"")
    if events[0].get("more_body") or not isinstance(body, bytes) or len(body) > HIGH_WATER:
        return None
    return HttpCall(sessions, request, found, body, session_channel(queue, request.session))


class Calls:
    """The calls of a consumer for one request; their `CallOwner`.

    `body` is all that came of the request's. On the loop, `on_first` is called when the first reply
    was sent, and `on_end` when a call has ended, with what it raised if that was the first one.
    """

    def __init__(
        self,
        found: Found,
        channel: str,
        body: bytes,
        on_first: Callable[[], None],
        on_end: Callable[[BaseException | None], None],
    ) -> None:
        self._found = found
        self._body = body
        self.on_completed = on_first
        self._on_end = on_end
        self._thread = _get_ident()
        layer = found.app.layer
        self.client = HttpClient(channel, layer, self._on_first)
        self._channel = ReplyChannel(channel, layer, self.client)
        self._request: ConsumerCall | None = None
        self.under_way: list[ConsumerCall] = []
        #: The consumer was told of the end.
        self._told_end = False

    def begin(self) -> None:
        """Call the consumer with the request. Raises what the runner or the layer raises."""
        content = request_content(self._found.scope, self._channel, self._body)
        call = self._request = self._found.app.new_call("http.request", content, self)
        self.under_way.append(call)
        call.start()

    def _on_first(self) -> None:
        """Go on with the first reply, on the loop; in the thread that sends it."""
        if _get_ident() == self._thread:
            self.on_completed()
        else:
            self._found.app.completions.put(self)

    def told(self) -> Message:
        """Return what tells the gateway that it has the client of this consumer."""
        return {"type": CONSUMERS, **self._found.told(), "called": True}

    @property
    def tells_apart(self) -> bool:
        """Whether the consumer has looked at which message it was called with."""
        return self._request is not None and self._request.message.asked_for_channel

    def tell_end(self) -> None:
        """Call the consumer with the end of the request, once, if it has heard of that."""
        if self._told_end or self._request is None or self._request.withdraw():
            return
        self._told_end = True
        self.client.leave()
        content = {"reply_channel": self._channel, "path": self._found.scope["path"]}
        call = self._found.app.new_call("http.disconnect", content, self)
        self.under_way.append(call)
        call.start()

    def call_ended(self, call: ConsumerCall) -> None:
        """`CallOwner`: note that a call is over."""
        self.under_way.remove(call)
        error = call.error
        if call is not self._request and error is not None:
            if not call.refused:
                shown = f"http.disconnect {self._found.scope['path']}"
                logger.error("the app raised in %s", shown, exc_info=error)
            error = None
        self._on_end(error)

    def give_up(self) -> None:
        """End what is under way, as far as that is possible."""
        for call in self.under_way.copy():
            call.give_up()


class HttpCall(AppSession):
    """One request. `body` is all that came of it, `channel` its reply channel."""

    runs = CONSUMER

    def __init__(
        self, sessions: Sessions, request: Request, found: Found, body: bytes, channel: str
    ) -> None:
        super().__init__(sessions, request)
        self._calls = Calls(found, channel, body, self._on_first, self._on_end)
        #: The gateway was told of the consumer, which is a task for the timer.
        self._handed_over = False
        self._timer: asyncio.TimerHandle | None = None
        #: The call has ended.
        self._has_ended = False
        #: A whole response was written, or its beginning; `_unsent` waits for room at the gateway.
        self._has_written = False
        self._unsent = b""
        #: Nothing is left to be written to the gateway.
        self._done = False
        #: Woken when there is something to do, while there is no session.
        self._news = WaitQueue()

    async def run(self, app: ASGIApp, state: dict[str, Any]) -> None:
        """Call the consumer, and have the gateway hear what has become of it."""
        try:
            self._calls.begin()
        except Exception as error:
            self._failed(error)
        if self._calls.under_way or not self._done:
            await self._finish()

    async def _finish(self) -> None:
        """Go on while calls are under way, or something is to be sent."""
        calls = self._calls
        try:
            while calls.under_way or not self._done:
                if self._unsent:
                    await self._write({"type": grammar.BODY, "body": self._unsent})
                    self._unsent = b""
                    if not self._closed:
                        self._end_session(None)
                        self._settle()
                elif self._closed and not self._done:  # the client has left
                    self._done = True
                    calls.tell_end()
                else:
                    await (self._news if self._session is None else self._session.news).wait()
        except asyncio.CancelledError:  # the worker stops, and cuts
            calls.give_up()
            raise
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _wake(self) -> None:
        self._news.wake()
        if self._session is not None:
            self._session.news.wake()

    # --------------------------------------------------------- the consumer

    def _on_end(self, error: BaseException | None) -> None:
        """Tell the gateway that the call has ended."""
        self._has_ended = True
        if error is not None:
            self._failed(error)
        self._settle()

    def _settle(self) -> None:
        """End the session if the call has ended, and its reply was written if it is whole.

        Then the consumer is told of the end, if it tells messages apart and no gateway does that.
        """
        waits = self._done or self._unsent or not self._has_ended
        if not waits and (self._calls.client.share() or self._has_written):
            self._hand_over()
            self._end_session(None)
        if self._done and not self._handed_over and self._calls.tells_apart:
            self._calls.tell_end()
        self._wake()

    def _failed(self, error: BaseException) -> None:
        """Answer for the consumer, which has raised `error`, or log it."""
        over = self._closed
        if over and is_disconnect(error):
            return
        is_due = self._calls.client.share() and not (self._done or over)
        has_answer = isinstance(error, BridgeError) and error.status not in (499, 500)
        if is_due and not self._handed_over and has_answer:
            logger.log(_level_of(error), "refused %s: %s", self.shown, error)
            head, body = error_response(error, is_head=self.scope.get("method") == "HEAD")
            self._write_whole(head.status_code, head.fields, body)
            return
        logger.error("the app raised in %s", self.shown, exc_info=error)
        if is_due:
            self._end_session(f"the app raised {type(error).__name__}: {error!s:.500}")

    def _on_first(self) -> None:
        """Send the whole response that a consumer has made; if it is not whole, tell of it."""
        whole = self._calls.client.whole
        if self._closed or self._done:
            return
        if whole is None:
            self._hand_over()
            return
        self._write_whole(*whole)
        self._settle()

    # --------------------------------------------------------- the gateway

    def tell(self) -> bool:
        """Tell the gateway that this worker has the request; and soon, that it is a consumer's."""
        tells = super().tell()
        if tells:
            if not self._handed_over:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(_MOMENT, self._hand_over)
            self._wake()
        return tells

    def _hand_over(self) -> None:
        """Tell the gateway that it has the client of a consumer, if there is no answer yet."""
        if not (self._handed_over or self._done) and self._calls.client.whole is None:
            self._handed_over = True
            self.tell()
            self.session.write(EVENTS, [self._calls.told()])

    def _end_session(self, text: str | None) -> None:
        """Tell the gateway how the call has ended."""
        self._done = True
        self.tell()
        if self._handed_over and self._calls.tells_apart:
            self.session.write(EVENTS, [TELLS_APART])
        self.session.write(END, text)

    def _write_whole(self, status: int, fields: RawHeaders, body: bytes) -> None:
        """Write a whole response."""
        start: Message = {"type": grammar.START, "status": status, "headers": fields}
        self._has_written = True
        if self._handed_over:
            reply = {"status": status, "headers": fields, "content": body}
            self.session.write(EVENTS, [{"type": CONSUMERS, "reply": reply}])
        elif len(body) > WINDOW:
            self.runs = SESSION
            self.tell()
            self.session.write(EVENTS, [start])
            self._unsent = body
        elif self._told:
            self.session.write(EVENTS, [start, {"type": grammar.BODY, "body": body}])
            self._end_session(None)
        else:
            self._done = True
            self.answer(status, fields, body)


def _level_of(error: BaseException) -> int:
    fault = isinstance(error, BridgeError) and error.status >= 500
    return logging.WARNING if fault else logging.INFO
