"""The loop's side of an exchange: what the app receives and sends (A10 to A27)."""

from __future__ import annotations

import asyncio
import errno
import io
from contextvars import copy_context
from typing import Final

from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.request_body import CUT_OFF, RequestBody
from bridge.adapters.asgi_on_wsgi.response_queue import (
    GONE,
    HEAD_DELAY,
    TIMED_OUT,
    ResponseQueue,
)
from bridge.adapters.asgi_on_wsgi.response_queue import (
    WAITING as HOST_WAITING,
)
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
from bridge.asgi.scope import scope_from_environ
from bridge.errors import AppError, ClientDisconnected, IllegalMessage
from bridge.http.response_fields import text_fields
from bridge.http.response_head import raw_head
from bridge.log import logger
from bridge.loops.descriptors import open_file
from bridge.loops.wait_queue import WaitQueue
from bridge.types import Environ, Message

#: How many early hints may be sent before a response.
MAX_HINTS: Final = 100


class AppSide:
    """A request's app, its `receive` and its `send`.

    Made on the WSGI side, as the app runs in a copy of the caller's context; from `start` on all of
    it runs on the loop's side. `body` is None if the request has none.
    """

    # What few requests need stands in the class. What every request reads is set in `__init__`:
    # CPython is fast with an attribute only if it is in the instance alone.
    _task: asyncio.Task[None]
    _body_received = False
    _hints_sent = 0
    #: Calls of `send` that raised.
    _failed_calls = 0
    #: A piece of the body was dropped, as the client has gone.
    _piece_dropped = False
    #: Made when the app first waits in `receive`, or when its client has left.
    _notice: DisconnectNotice | None = None
    #: The app waits, in `receive` for the end or in `send` for room.
    _waiters: WaitQueue | None = None

    # Set with the head of the response.
    #: The response has no body, whatever the app sends.
    _no_body: bool
    #: A Content-Length is added if the body comes in one piece.
    _add_length: bool
    #: Bytes of body that Content-Length still leaves; None: any number.
    _length_left: int | None

    def __init__(
        self,
        instance: AppInstance,
        environ: Environ,
        body: RequestBody | None,
        queue: ResponseQueue,
    ) -> None:
        self._instance = instance
        self._body = body
        self._queue = queue
        self._is_head = environ["REQUEST_METHOD"] == "HEAD"
        self._scope = scope = scope_from_environ(environ, instance.lifespan.state)
        if PATHSEND in scope["extensions"] and not instance.settings.pathsend:
            del scope["extensions"][PATHSEND]
        self._context = copy_context()
        self._phase: str = WAITING

    # --------------------------------------------------------- the app

    def start(self) -> None:
        """Call the app, in a task of its own."""
        self._task = self._instance.spawn(self._run(), self._context)

    async def _run(self) -> None:
        """Run the app; however it ends, the WSGI side is told."""
        try:
            await self._instance.app(self._scope, self.receive, self.send)
        except BaseException as error:  # SystemExit must not end the loop
            self._app_failed(error)
        else:
            if self._phase != OVER and self._queue.host < GONE:
                self._app_failed(AppError(_UNFINISHED[self._phase]))

    def _app_failed(self, error: BaseException) -> None:
        gone = self._queue.host >= GONE
        if self._phase != OVER and not gone:
            self._queue.fail(error if isinstance(error, Exception) else _as_app_error(error))
        elif not (
            isinstance(error, (asyncio.CancelledError, ClientDisconnected))
            or (gone and is_disconnect(error))
        ):
            when = "after its client had gone" if gone else "after its response"
            logger.error("the app raised %s", when, exc_info=error)

    # --------------------------------------------------------- receive

    async def receive(self) -> Message:
        """Return the next event of the request (ASGI, "Request" and "Disconnect")."""
        if self._body is not None:
            self._disconnect_notice().note_receiver()
            message = await self._body.receive(self._queue.notify_host)
            if message is not None:
                return message
            if self._body.phase == CUT_OFF:
                return await self._disconnect_notice().disconnect()
        elif not self._body_received:
            self._body_received = True
            return {"type": "http.request", "body": b"", "more_body": False}
        while self._phase != OVER and self._queue.host < GONE:
            self._disconnect_notice().note_receiver()
            await self._suspend()
        return await self._disconnect_notice().disconnect()

    async def _suspend(self) -> None:
        """Wait until `resume` is called; the condition may have to be looked at again."""
        if self._waiters is None:
            self._waiters = WaitQueue()
        await self._waiters.wait()

    def resume(self) -> None:
        """Wake the app if it waits: the host has taken enough, or all is over."""
        if self._waiters is not None:
            self._waiters.wake()

    # --------------------------------------------------------- send

    async def send(self, message: Message) -> None:
        """Take an event of the response (ASGI, "Response Start" and "Response Body").

        Waits while more than `HIGH_WATER` bytes wait for the host. Raises `IllegalMessage`, and
        `ClientDisconnected` when nobody takes the response any more.
        """
        try:
            kind = message.get("type") if type(message) is dict else message_type(message)
            if self._queue.host >= GONE:
                await self._drop(kind, message)
            elif kind == BODY and self._phase == STREAMING:
                if self._take_body(message):
                    await self._wait_for_room()
            elif kind == START and self._phase == WAITING:
                self._take_start(message)
            else:
                self._take_other(message)
        except (IllegalMessage, ClientDisconnected):
            self._failed_calls += 1
            await throttle(self._failed_calls)
            raise

    def _take_start(self, message: Message) -> None:
        head = raw_head(message.get("status"), message.get("headers"))
        self._no_body = no_body = head.has_no_body or self._is_head
        self._add_length = head.length is None and not head.has_no_body
        self._length_left = None if no_body else head.length
        status, fields = head.text
        self._queue.start(status, fields.copy())
        self._phase = STREAMING
        if self._queue.host == HOST_WAITING:  # the WSGI side no longer looks every few milliseconds
            self._instance.loop.call_later(HEAD_DELAY, self._queue.notify_host)

    def _take_body(self, message: Message) -> bool:
        """Queue a piece of the body; whether the app should wait."""
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = as_bytes(body)
        more = message.get("more_body", False)
        if self._length_left is not None:
            self._length_left = _count_down(self._length_left, len(body), bool(more))
        queue = self._queue
        if self._add_length:
            self._add_length = False
            if not more and (body or not self._no_body):
                queue.headers.append(("Content-Length", str(len(body))))
        if self._no_body:
            body = b""
        if more:
            return not body or queue.put(body)
        self._phase = OVER
        queue.end(body)
        self._stop_receiving()
        return False

    async def _wait_for_room(self) -> None:
        """Wait until the host has taken enough; give others their turn, at least."""
        if not self._queue.is_full():
            await asyncio.sleep(0)
            return
        while self._queue.must_wait():
            await self._suspend()
            if self._queue.host >= GONE:
                return  # the next piece goes nowhere

    def _stop_receiving(self) -> None:
        """Let an app that waits in `receive` hear that nothing more comes."""
        if self._body is not None:
            self._body.discard()
        if self._waiters is not None:
            self._waiters.wake()

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
        self._hints_sent += 1
        if self._hints_sent > MAX_HINTS:
            raise IllegalMessage(f"more than {MAX_HINTS} early hints before one response")
        self._queue.hint(text_fields([(b"Link", link) for link in hint_links(message)]))

    def _take_path(self, message: Message) -> None:
        """Open the file here, so that the app is told if that fails."""
        path = message.get("path")
        if not isinstance(path, str):
            raise IllegalMessage(f"path is {path!r}, and must be a str")
        file = io.FileIO(path, opener=open_file)  # closed by the host
        self._phase = OVER
        if self._no_body:
            file.close()
            self._queue.end()
        else:
            self._queue.end_with(file)
        self._stop_receiving()

    # --------------------------------------------------------- the client has left

    def on_disconnect(self) -> None:
        """Let the app hear that nobody takes its response, and cancel it if it goes on."""
        self._stop_receiving()
        timed_out = self._queue.host == TIMED_OUT
        grace = 0.0 if timed_out else self._instance.settings.disconnect_grace
        self._instance.loop.call_later(grace, self._cancel)

    def _cancel(self) -> None:
        if self._phase != OVER and not self._task.done():
            self._instance.cancel_later(self._task, 0.0)

    def _disconnect_notice(self) -> DisconnectNotice:
        if self._notice is None:
            # Half of the time after which the app is cancelled, at most: `send` raises before that.
            grace = min(GRACE, self._instance.settings.disconnect_grace / 2)
            self._notice = DisconnectNotice(grace)
        return self._notice

    async def _drop(self, kind: object, message: Message) -> None:
        """Drop a message for a client that has left. Raises `ClientDisconnected`.

        As on our server (S12): not before a task that waits in `receive` has been told; and an app
        that was not told sends the rest of its response in vain, if that is little.
        """
        notice = self._disconnect_notice()
        if await notice.drops_message():
            return
        if not notice.times_told:
            last = not message.get("more_body")
            if kind == START and self._phase == WAITING:
                raw_head(message.get("status"), message.get("headers"))  # raises if malformed
                self._phase = STREAMING
                return
            if kind == BODY and self._phase == STREAMING and (last or not self._piece_dropped):
                self._piece_dropped = True
                if last:
                    self._phase = OVER
                return
        raise client_gone()


_UNFINISHED = {
    WAITING: "the app returned without sending a response",
    STREAMING: "the app returned before its response was over; send a body without more_body",
}


def _as_app_error(error: BaseException) -> AppError:
    """Wrap what is no `Exception`: it could end the host's thread."""
    wrapped = AppError(f"the app raised {error!r}")
    wrapped.__cause__ = error
    return wrapped


def client_gone() -> ClientDisconnected:
    """Make the error that hosts know as a broken connection, and log little of."""
    return ClientDisconnected(errno.EPIPE, "the client has gone away")


def _count_down(left: int, size: int, more: bool) -> int:
    """Return how much of Content-Length is left after a piece of `size` bytes."""
    if size > left:
        raise IllegalMessage(f"{size} bytes of body, but Content-Length leaves {left}")
    if size < left and not more:
        raise IllegalMessage(f"the body ends {left - size} bytes short of its Content-Length")
    return left - size
