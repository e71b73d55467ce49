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
from asyncio.events import _get_running_loop
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from bridge.asgi import messages as grammar
from bridge.asgi.disconnect import is_disconnect
from bridge.asgi1.call import ConsumerCall
from bridge.asgi1.http import request_content
from bridge.asgi1.message import ReplyChannel
from bridge.errors import BridgeError
from bridge.gateway.back.app_session import Sessions, TakenRequest
from bridge.gateway.back.http_session import with_length
from bridge.gateway.back.mounted_consumers import Found
from bridge.gateway.back.reply_clients import HttpClient
from bridge.gateway.back.wsgi_session import Start
from bridge.gateway.consumer_content import TELLS_APART, session_channel
from bridge.gateway.credits import WINDOW
from bridge.gateway.protocol import (
    CONSUMER,
    CONSUMERS,
    END,
    EVENTS,
    SESSION,
    Request,
)
from bridge.gateway.shown import shown_path
from bridge.http.error_response import error_response
from bridge.limits import HIGH_WATER
from bridge.log import logger
from bridge.loops.waiters import unpatched
from bridge.types import Message, RawHeaders

_get_ident: Final = unpatched("get_ident")
#: Called when a session is over.
Ended: TypeAlias = Callable[[TakenRequest], object]

#: Seconds that a consumer has for a whole response, before its gateway is told what it is.
_MOMENT: Final = 0.05


def call_at_once(sessions: Sessions, request: Request, found: Found) -> HttpCall | None:
    """Return the call of a request, to be begun; None: its gateway must make messages of it."""
    about = (request.scope.get("extensions") or {}).get(CONSUMERS)
    queue = about.get("replies") if isinstance(about, dict) else None
    events = request.events
    if request.scope["type"] != "http" or not isinstance(queue, str) or len(events) != 1:
        return None
    body = events[0].get("body", b"")
    if events[0].get("more_body") or not isinstance(body, bytes) or len(body) > HIGH_WATER:
        return None
    channel = session_channel(queue, request.session)
    return HttpCall(sessions, request, Calls(found, channel, body))


class CallsOwner(Protocol):
    """Whoever has a consumer called for a request; on the loop."""

    def note_first(self) -> None:
        """Take note that the first reply was sent."""

    def note_end(self, error: BaseException | None) -> None:
        """Take note that a call has ended; `error` is what the one with the request raised."""


class Calls:
    """The calls of a consumer for one request; their `CallOwner`.

    `body` is all that came of the request's.
    """

    def __init__(self, found: Found, channel: str, body: bytes) -> None:
        self._found = found
        self._body = body
        #: None before the beginning and after the end: a circle would wait for the collector.
        self._owner: CallsOwner | None = None
        self._thread = _get_ident()
        layer = found.app.layer
        self.client = HttpClient(channel, layer, self._on_first)
        self._channel = ReplyChannel(channel, layer, self.client)
        self._request: ConsumerCall | None = None
        self.under_way: list[ConsumerCall] = []
        #: The consumer was told of the end.
        self._told_end = False

    def begin(self, owner: CallsOwner) -> None:
        """Call the consumer with the request. Raises what the runner or the layer raises."""
        self._owner = owner
        content = request_content(self._found.scope, self._body)
        content["reply_channel"] = self._channel
        call = self._request = self._found.app.new_call("http.request", content, self)
        self.under_way.append(call)
        call.start()

    def _on_first(self) -> None:
        """Go on with the first reply, on the loop; in the thread that sends it."""
        app = self._found.app
        is_here = _get_ident() == self._thread
        if is_here and _get_running_loop() is not None:
            self.on_completed()
        elif self.client.whole is None or app.runner.can_wait or not is_here:
            app.completions.put(self)
        # else the inline runner, which hides the loop, tells of the end in a moment

    def on_completed(self) -> None:
        """Go on with the first reply; on the loop."""
        if self._owner is not None:
            self._owner.note_first()

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
                shown = f"http.disconnect {shown_path(self._found.scope)}"
                logger.error("the app raised in %s", shown, exc_info=error)
            error = None
        assert self._owner is not None
        self._owner.note_end(error)

    def leave(self) -> None:
        """Tell nobody of anything any more."""
        self._owner = None

    def give_up(self) -> None:
        """End what is under way, as far as that is possible."""
        for call in self.under_way.copy():
            call.give_up()


class HttpCall(TakenRequest):
    """One request; the owner of its `calls`. It needs a task only if it is not over soon."""

    runs = CONSUMER

    def __init__(self, sessions: Sessions, request: Request, calls: Calls) -> None:
        super().__init__(sessions, request)
        self._calls = calls
        self._start: Start
        #: Called at the end, unless there is a task.
        self._ended: Ended | None = None
        self._has_task = False
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

    def begin(self, start: Start, ended: Ended) -> bool:
        """Call the consumer; False if that goes on without a task.

        ``start(session, coroutine)`` runs what needs a task. If that is never called, and this has
        returned False, ``ended(session)`` is called at the end.
        """
        self._start = start
        try:
            self._calls.begin(self)
        except Exception as error:
            self._failed(error)
        if self._is_over or self._has_task:
            return True
        self._ended = ended
        return False

    @property
    def _is_over(self) -> bool:
        return self._done and not self._calls.under_way

    async def _finish(self) -> None:
        """Go on while calls are under way, or something is to be sent."""
        session, calls = self.session, self._calls
        try:
            while not self._is_over:
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
                    await session.news.wait()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def cut(self, task: asyncio.Task[None] | None) -> None:
        """Give it up; what runs in a thread is left alone if there is no task."""
        self._done = True
        super().cut(task)
        self._calls.give_up()
        self._leave()

    def _leave(self) -> None:
        """Take note that all is over, or wake the task that has to."""
        if self._is_over:
            self._calls.leave()
        if self._has_task:
            self.session.news.wake()
        elif self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self)

    # --------------------------------------------------------- the consumer

    def note_end(self, error: BaseException | None) -> None:
        """Tell the gateway that the call has ended."""
        self._has_ended = True
        if error is not None:
            self._failed(error)
        if self._calls.client.whole is not None:
            self.note_first()
        else:
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
        if self._is_over or self._has_task:
            self._leave()

    def _failed(self, error: BaseException) -> None:
        """Answer for the consumer, which has raised `error`, or log it."""
        over = self._closed
        if over and is_disconnect(error):
            return
        client = self._calls.client
        is_due = client.share() and not (client.is_over or self._done or over)
        has_answer = isinstance(error, BridgeError) and error.status not in (499, 500)
        if is_due and has_answer and not client.has_begun:
            logger.log(_level_of(error), "refused %s: %s", self.shown, error)
            head, body = error_response(error, is_head=self.scope.get("method") == "HEAD")
            self._write_whole(head.status_code, head.fields, body)
            return
        logger.error("the app raised in %s", self.shown, exc_info=error)
        if is_due:
            self._end_session(f"the app raised {type(error).__name__}: {error!s:.500}")

    def note_first(self) -> None:
        """Send the whole response that a consumer has made; if it is not whole, tell of it."""
        whole = self._calls.client.whole
        if self._closed or self._done:
            pass
        elif whole is None:
            self._hand_over()
        elif not self._has_written:
            self._write_whole(*whole)
        self._settle()

    # --------------------------------------------------------- the gateway

    def tell(self) -> bool:
        """Tell the gateway that this worker has the request; and soon, that it is a consumer's."""
        tells = super().tell()
        if tells and not self._done:
            if not self._handed_over:
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(_MOMENT, self._hand_over)
            self._has_task = True
            self._start(self, self._finish())
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
        self._has_written = True
        if self._handed_over:
            reply = {"status": status, "headers": fields, "content": body}
            self.session.write(EVENTS, [{"type": CONSUMERS, "reply": reply}])
        elif len(body) > WINDOW:
            self.runs = SESSION
            self.tell()
            self.session.write(EVENTS, [_start(status, with_length(status, fields, len(body)))])
            self._unsent = body
        elif self._told:
            last = {"type": grammar.BODY, "body": body}
            self.session.write(EVENTS, [_start(status, fields), last])
            self._end_session(None)
        else:
            self._done = True
            self.answer(status, fields, body)


def _start(status: int, fields: RawHeaders) -> Message:
    return {"type": grammar.START, "status": status, "headers": fields}


def _level_of(error: BaseException) -> int:
    fault = isinstance(error, BridgeError) and error.status >= 500
    return logging.WARNING if fault else logging.INFO
