"""The loop's side of an exchange: what the app receives and sends (A10 to A27).

`AppSide` is half of an exchange, `exchange.HttpExchange` the other. Who writes what: `_chunks`
is filled here and emptied there; `_sent` is counted here, `_taken` there, and their difference is
what waits in between. A side that changes something then looks whether the other one waits; a
side that is about to wait says so and then looks once more. So no wake-up is lost, and there is
no lock.
"""

from __future__ import annotations

import asyncio
import errno
import io
import logging
from collections import deque
from contextvars import Context, copy_context

from bridge.adapters.asgi_on_wsgi.instance import Running
from bridge.adapters.asgi_on_wsgi.request_body import Upload
from bridge.asgi.disconnect import GRACE, DisconnectNotice, is_disconnect, throttle
from bridge.asgi.messages import (
    BODY,
    EARLY_HINT,
    HTTP,
    OVER,
    PATHSEND,
    START,
    STREAMING,
    WAITING,
    as_bytes,
    hint_links,
    message_type,
    out_of_order,
)
from bridge.asgi.scope import body_length, scope_from_environ
from bridge.errors import AppError, ClientDisconnected, IllegalMessage
from bridge.http.response_fields import text_fields
from bridge.http.response_head import raw_head
from bridge.limits import HIGH_WATER, LOW_WATER
from bridge.loops.descriptors import open_file
from bridge.loops.wait_queue import WaitQueue
from bridge.loops.waiters import Waiter
from bridge.types import Environ, Message, Scope, TextHeaders

logger = logging.getLogger("bridge.error")

#: Seconds that the head of a response is held back for the first piece of body.
HEAD_DELAY = 0.02
#: Seconds between two looks at the client and the time, while nothing comes from the app.
TICK = 1.0
#: How many early hints may be sent before a response.
MOST_HINTS = 100


class AppSide:
    """A request's app, its `receive` and its `send`."""

    # What few requests need stands in the class. What every request reads is set in `__init__`:
    # CPython is fast with an attribute only where it is in the instance alone.

    # --- written on the loop's side
    _blocked = False
    _body_received = False
    _hinted = 0
    _notice: DisconnectNotice | None = None
    _misses = 0
    #: A piece of the body went nowhere.
    _in_vain = False

    # --- written on the WSGI side
    _timed_out = False

    def __init__(self, running: Running, environ: Environ) -> None:
        """Raises `RequestError` where the request's Content-Length is malformed."""
        length = body_length(environ)
        self._upload = None if length == 0 else Upload(environ["wsgi.input"], length)
        self._running = running
        self._environ = environ
        self._scope: Scope = scope_from_environ(environ, running.lifespan.state)
        if not running.settings.pathsend:
            self._scope["extensions"].pop(PATHSEND, None)
        self._context: Context = copy_context()
        self._chunks: deque[bytes] = deque()

        # --- written on the loop's side
        self._task: asyncio.Task[None] | None = None
        self._phase: str = WAITING
        self._status: str | None = None
        self._headers: TextHeaders = []
        self._no_body = False
        self._add_length = False
        self._length_left: int | None = None
        self._sent = 0
        self._ended = False
        self._failure: Exception | None = None
        self._file: io.FileIO | None = None
        self._hints: deque[TextHeaders] | None = None
        self._suspended: WaitQueue | None = None

        # --- written on the WSGI side
        self._patient = False
        self._taken = 0
        self._gone = False

        # --- raised on one side, taken down on the other: by who waits, and by who has news
        self._sleeper: Waiter | None = None
        self._news = False

    # --------------------------------------------------------- the app

    def _begin(self) -> None:
        self._task = self._running.spawn(self._run(), self._context)

    async def _run(self) -> None:
        """Run the app; whatever becomes of it, the WSGI side hears of it."""
        try:
            await self._running.app(self._scope, self.receive, self.send)
        except BaseException as error:  # SystemExit must not end the loop
            self._end_with(error)
        else:
            if not self._ended and not self._gone:
                self._end_with(AppError(_UNFINISHED[self._phase]))

    def _end_with(self, error: BaseException) -> None:
        if not self._ended and not self._gone:
            self._failure = error if isinstance(error, Exception) else _as_app_error(error)
            self._tell()
        elif not (
            isinstance(error, (asyncio.CancelledError, ClientDisconnected))
            or (self._gone and is_disconnect(error))
        ):
            when = "after its client had gone" if self._gone else "after its response"
            logger.error("the app raised %s", when, exc_info=error)

    def _tell(self) -> None:
        """There is news for the WSGI side."""
        self._news = True
        sleeper = self._sleeper
        if sleeper is not None:
            self._sleeper = None
            sleeper.wake()

    # --------------------------------------------------------- receive

    async def receive(self) -> Message:
        """The next event of the request (ASGI, "Request" and "Disconnect")."""
        if self._upload is not None:
            self._disconnect_notice().note_receiver()
            message = await self._upload.receive(self._tell)
            if message is not None:
                return message
            if self._upload.cut_off:
                return await self._disconnect_notice().disconnect()
        elif not self._body_received:
            self._body_received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while not self._ended and not self._gone:
            self._disconnect_notice().note_receiver()
            await self._suspend()
        return await self._disconnect_notice().disconnect()

    async def _suspend(self) -> None:
        """Wait until `_resume` is called; what it was for may have to be waited for again."""
        if self._suspended is None:
            self._suspended = WaitQueue()
        await self._suspended.wait()

    def _resume(self) -> None:
        if self._suspended is not None:
            self._suspended.wake()

    # --------------------------------------------------------- send

    async def send(self, message: Message) -> None:
        """Take an event of the response (ASGI, "Response Start" and "Response Body").

        Waits while more than `HIGH_WATER` bytes wait for the host. Raises `IllegalMessage`, and
        `ClientDisconnected` when nobody takes the response any more.
        """
        try:
            kind = message.get("type") if type(message) is dict else message_type(message)
            if self._gone:
                await self._drop(kind, message)
            elif kind == BODY and self._phase == STREAMING:
                if self._take_body(message):
                    await self._take_breath()
            elif kind == START and self._phase == WAITING:
                self._take_start(message)
            else:
                self._take_other(message)
        except (IllegalMessage, ClientDisconnected):
            self._misses += 1
            await throttle(self._misses)
            raise

    def _disconnect_notice(self) -> DisconnectNotice:
        if self._notice is None:
            # Half of the time after which the app is cancelled, at most: `send` raises before that.
            grace = min(GRACE, self._running.settings.disconnect_grace / 2)
            self._notice = DisconnectNotice(grace)
        return self._notice

    async def _drop(self, kind: object, message: Message) -> None:
        """The client has left: the message goes nowhere. Raises `ClientDisconnected`.

        As on our server (S12): not before a task that waits in `receive` has heard of it; and an
        app that was not told sends the rest of its response in vain, if that is little.
        """
        notice = self._disconnect_notice()
        if await notice.drops_message():
            return
        if not notice.times_told:
            last = not message.get("more_body")
            if kind == START and self._phase == WAITING:
                raw_head(
                    message.get("status"), message.get("headers")
                )  # raises where it is malformed
                self._phase = STREAMING
                return
            if kind == BODY and self._phase == STREAMING and (last or not self._in_vain):
                self._in_vain = True
                if last:
                    self._phase = OVER
                    self._ended = True
                return
        raise client_gone()

    def _take_start(self, message: Message) -> None:
        head = raw_head(message.get("status"), message.get("headers"))
        self._no_body = head.has_no_body or self._environ["REQUEST_METHOD"] == "HEAD"
        self._add_length = head.length is None and not head.has_no_body
        self._length_left = None if self._no_body else head.length
        self._status, fields = head.text
        self._headers = fields.copy()
        self._phase = STREAMING
        if self._patient:  # the WSGI side no longer looks every few milliseconds
            self._running.loop.call_later(HEAD_DELAY, self._tell)

    def _take_body(self, message: Message) -> bool:
        """Queue a piece of the body; whether the app should wait."""
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = as_bytes(body)
        more = message.get("more_body", False)
        if self._length_left is not None:
            self._length_left = _count_down(self._length_left, len(body), bool(more))
        if self._add_length:
            self._add_length = False
            if not more and (body or not self._no_body):
                self._headers.append(("Content-Length", str(len(body))))
        if body and not self._no_body:
            self._chunks.append(body)
            self._sent += len(body)
            if more:
                self._tell()
        if more:
            return not body or self._no_body or self._sent - self._taken > HIGH_WATER
        self._end()
        return False

    async def _take_breath(self) -> None:
        """Wait until the host has taken enough; let others run, at least."""
        if self._sent - self._taken <= HIGH_WATER:
            await asyncio.sleep(0)
            return
        self._blocked = True
        while self._sent - self._taken > LOW_WATER:  # it may just have been taken
            await self._suspend()
            if self._gone:
                return  # the next piece goes nowhere
            self._blocked = True

    def _end(self) -> None:
        """The response is whole."""
        self._phase = OVER
        self._ended = True
        self._tell()
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._upload is not None:
            self._upload.cut()
        self._resume()

    # --------------------------------------------------------- extensions

    def _take_other(self, message: Message) -> None:
        kind = message_type(message)
        if kind not in HTTP[self._phase]:
            raise out_of_order(HTTP, self._phase, kind)
        if kind not in self._scope["extensions"]:
            raise IllegalMessage(f"{kind!r} is not among the extensions that this host can do")
        if kind == PATHSEND:
            self._take_path(message)
        elif kind == EARLY_HINT:
            self._take_hint(message)

    def _take_hint(self, message: Message) -> None:
        self._hinted += 1
        if self._hinted > MOST_HINTS:
            raise IllegalMessage(f"more than {MOST_HINTS} early hints before one response")
        links = hint_links(message)
        if self._hints is None:
            self._hints = deque()
        self._hints.append(text_fields([(b"Link", link) for link in links]))
        self._tell()

    def _take_path(self, message: Message) -> None:
        """Open the file here, so that the app hears of it where that fails."""
        path = message.get("path")
        if not isinstance(path, str):
            raise IllegalMessage(f"path is {path!r}, and must be a str")
        file = io.FileIO(path, opener=open_file)  # closed by the host
        if self._no_body:
            file.close()
        else:
            self._file = file
        self._end()

    # --------------------------------------------------------- the client left

    def _hear_of_leaving(self) -> None:
        self._stop_listening()
        grace = 0.0 if self._timed_out else self._running.settings.disconnect_grace
        self._running.loop.call_later(grace, self._cancel)

    def _cancel(self) -> None:
        task = self._task
        if task is not None and not self._ended and not task.done():
            self._running.cancel_later(task, 0.0)


_UNFINISHED = {
    WAITING: "the app returned without sending a response",
    STREAMING: "the app returned before its response was over; send a body without more_body",
}


def _as_app_error(error: BaseException) -> AppError:
    """What is no `Exception` must not reach the host, whose thread might end of it."""
    wrapped = AppError(f"the app raised {error!r}")
    wrapped.__cause__ = error
    return wrapped


def client_gone() -> ClientDisconnected:
    """The error that hosts know as a broken connection, and do not make much of."""
    return ClientDisconnected(errno.EPIPE, "the client has gone away")


def _count_down(left: int, size: int, more: bool) -> int:
    """How much of Content-Length is left after a piece of `size` bytes."""
    if size > left:
        raise IllegalMessage(f"{size} bytes of body, where Content-Length leaves {left}")
    if size < left and not more:
        raise IllegalMessage(f"the body ends {left - size} bytes short of its Content-Length")
    return left - size
