"""One HTTP request under `WsgiToAsgi`: the sink of its `WsgiCall`, and the messages that it makes.

`Exchange` is what all runners share: the app's side leaves a response that it made in one step in
`whole`, and puts the messages of every other into `outbox`; the loop's side sends them. Who sends
when depends on the runner:

- `InlineExchange`: the app runs to its end, or until the outbox is full, then they are sent;
- `GreenletExchange`: each piece is sent when it is made, and the greenlet waits for it;
- `ThreadExchange` (`thread_exchange.py`): the loop sends while the thread goes on.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextvars import Context
from stat import S_ISREG
from typing import Any

from bridge.adapters.wsgi_on_asgi.failure import RaisesOn
from bridge.adapters.wsgi_on_asgi.request_body import Upload, take_whole, too_large
from bridge.errors import AppError, BridgeError, ClientDisconnected, RequestError
from bridge.http.error_response import error_response
from bridge.http.response_fields import TEXT_FIELDS
from bridge.http.response_head import ResponseHead
from bridge.limits import HIGH_WATER
from bridge.runners import Runner
from bridge.runners.completions import CompletionQueue
from bridge.types import Environ, Message, Receive, Send, TextHeaders
from bridge.wsgi.call import WsgiCall, logger
from bridge.wsgi.input import WholeInput, WsgiInput


class Exchange(RaisesOn):
    """A request in, a response out; also the `Job` that the runner runs."""

    # Defaults stand here where plain requests never set them, else in __init__: an attribute that
    # has a default in its class is slow to read and to write on an instance.

    call: WsgiCall
    context: Context
    since: float  # for the runner: when it was queued
    #: The scope's extensions (ASGI, "Extensions"), if files may be left to the host.
    extensions: Any = ()
    #: The response broke off: the host must not end it as if it were whole.
    broken = False
    _upload: Upload | None = None
    _file_sent = False

    def __init__(
        self, runner: Runner, completions: CompletionQueue, receive: Receive, send: Send
    ) -> None:
        self.runner = runner
        self.completions = completions
        self._receive = receive
        self._send = send
        #: What waits to be sent, but for a whole response; None until there is something.
        self.outbox: deque[Message] | None = None
        #: The whole response, where it was made in one step: it goes after the outbox.
        self.whole: tuple[ResponseHead, bytes] | None = None
        #: The response is complete, as far as the app is concerned.
        self.over = False
        #: Nobody takes the response any more.
        self.gone = False
        #: The request announces a body, or may have one.
        self.has_body = False
        self._file: Any = None  # the body, where it was taken whole

    @property
    def upload(self) -> Upload:
        """The request's body; plain requests never ask for it."""
        upload = self._upload
        if upload is None:
            upload = self._upload = Upload(self._receive)
        return upload

    async def run(self) -> None:
        """Run the app and send its response; on the loop."""
        raise NotImplementedError

    async def ended(self) -> None:
        """Return when the call is over, ``close()`` included."""

    def leave(self) -> None:
        """The request is over for the host; the app may still run. Called once, on the loop."""
        self.gone = True
        if self._file is not None:
            self._file.close()

    # --------------------------------------------------------- the job

    def __call__(self) -> bool:
        """Run the app, in the request's context (W50)."""
        ended = self.context.run(self.call)
        if ended:
            del self.call  # it holds this exchange: a circle would wait for the collector
        return ended

    def refuse(self, error: BridgeError) -> None:
        """The runner has no place for it (W52, W53)."""
        self.call.refuse(error)

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address and port, while the call is not over."""
        call: WsgiCall | None = getattr(self, "call", None)
        return None if call is None else call.peer

    def waits(self) -> None:
        """It waits for a thread."""

    def cancel(self) -> None:
        """Give up a paused call."""
        self.context.run(self.call.cancel)

    # --------------------------------------------------------- the request's body

    def limit_body(self, length: str | None, limit: int) -> None:
        """Allow `limit` bytes; raises `RequestError` (413) if Content-Length is more (W22)."""
        self.upload.limit = limit
        if length is not None and int(length) > limit:
            raise too_large(limit)

    def input(self, length: str | None) -> Any:
        """``wsgi.input``, pulled on demand (W21)."""
        self.has_body = True
        if length is not None:
            self.upload.length = int(length)
        return WsgiInput(self.pull)

    def pull(self) -> bytes:
        """The next piece of the body, for the app's side; b"" at the end."""
        return self.runner.wait(self.upload.next())

    async def take_body(self, environ: Environ, memory: int | None) -> bool:
        """Take the whole body before the app runs, `memory` bytes of it in memory (W25).

        None: take it if it is small, so that the app gets its length (W8). Returns False if the
        request ended with that.
        """
        upload = self.upload
        try:
            body: Any = None
            if memory is not None:
                body = await take_whole(upload, memory)
            elif (small := await upload.gather(HIGH_WATER)) is not None:
                body = WholeInput(small)
        except ClientDisconnected as error:
            logger.debug("client gone: %s", error)
            return False
        except RequestError as error:
            await self.refuse_request(error, is_head=environ["REQUEST_METHOD"] == "HEAD")
            return False
        if body is not None:
            self._file = environ["wsgi.input"] = body
            environ["CONTENT_LENGTH"] = str(upload.received)
        return True

    def is_disconnected(self) -> bool:
        """``bridge.disconnected``: whether the client is gone, as far as it is known (W10)."""
        return self.gone

    # --------------------------------------------------------- the sink

    def put(self, message: Message) -> None:
        """Leave `message` in the outbox."""
        if self.outbox is None:
            self.outbox = deque()
        self.outbox.append(message)

    def respond(self, head: ResponseHead, body: bytes) -> None:
        """ResponseSink: the whole response (W35)."""
        self.whole = head, body
        self.over = True

    def start(self, head: ResponseHead) -> None:
        """ResponseSink: the head; a piece of body follows at once, or the end."""
        self.put(_start(head))

    def write(self, chunk: bytes) -> bool:
        """ResponseSink: one piece."""
        raise NotImplementedError

    def finish(self) -> None:
        """ResponseSink: the body is whole."""
        if not self._file_sent:
            self.put({"type": "http.response.body", "body": b""})
        self.over = True

    def abort(self) -> None:
        """ResponseSink: the response cannot be completed."""
        self.broken = self.over = True

    def early_hints(self, headers: TextHeaders) -> None:
        """``wsgi.early_hints``: links that a browser may load while the app works (W42)."""
        fields = [TEXT_FIELDS[name, value].raw for name, value in headers]
        links = [value for name, value in fields if name == b"link"]
        self.put({"type": "http.response.early_hint", "links": links})
        self.flush()

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """ResponseSink: have the host send a real file by itself, if it can (W41)."""
        message = self._file_message(file, count)
        if message is None:
            return False
        self._file_sent = True
        self.put(message)
        self.flush()  # before the app closes, or removes, the file
        return True

    def _file_message(self, file: Any, count: int | None) -> Message | None:
        try:
            descriptor, position = file.fileno(), file.tell()
            status = os.fstat(descriptor)
        except (AttributeError, OSError, ValueError):
            return None
        if not S_ISREG(status.st_mode):
            return None
        if count is None:
            count = status.st_size - position
        if "http.response.zerocopysend" in self.extensions:
            return {
                "type": "http.response.zerocopysend",
                "file": descriptor,
                "offset": position,
                "count": count,
            }
        path = getattr(file, "name", None)
        if (
            "http.response.pathsend" in self.extensions
            and isinstance(path, str)
            and (position, count) == (0, status.st_size)
            and _is_at(path, status)
        ):
            return {"type": "http.response.pathsend", "path": os.path.abspath(path)}
        return None

    def flush(self) -> None:
        """From the app's side: return when everything so far has been sent."""
        raise NotImplementedError

    # --------------------------------------------------------- on the loop

    async def send_outbox(self) -> None:
        """Send what is there. Raises `ClientDisconnected` where the host says so."""
        outbox = self.outbox
        try:
            while outbox:
                await self._send(outbox.popleft())
            if self.whole is not None:
                await self.send_whole()
        except OSError as error:
            self.gone = True
            raise ClientDisconnected(f"the client is gone: {error}") from error

    async def send_whole(self) -> None:
        """Send the whole response. Raises `OSError` where the host says that the client is gone."""
        assert self.whole is not None
        head, body = self.whole
        await self._send(_start(head))
        await self._send({"type": "http.response.body", "body": body})

    def raise_failure(self, *, client_left: bool) -> None:
        """Raise what the app raised; the host cuts a response that broke off (W38)."""
        failure = self.take_failure()
        if failure is not None:
            raise failure
        if self.broken and not client_left:
            raise AppError(
                "the WSGI app failed after its response had started; the log of bridge.error says "
                "how, and the response must be cut off"
            )

    async def refuse_request(self, error: RequestError, *, is_head: bool) -> None:
        """Answer a request that is not for the app."""
        logger.info("refused a request: %s", error)
        self.whole = error_response(error, is_head=is_head)
        try:
            await self.send_whole()
        except OSError:
            pass  # the client is gone


def _start(head: ResponseHead) -> Message:
    return {
        "type": "http.response.start",
        "status": head.status_code,
        "headers": head.raw_headers.copy(),
    }


def _is_at(path: str, status: os.stat_result) -> bool:
    """Whether the file at `path` is the open one: it may have been renamed, or removed."""
    try:
        return os.path.samestat(os.stat(path), status)
    except OSError:
        return False


#: Seconds that an app may wait before its client is listened to.
_PATIENCE = 0.05


class LoopExchange(Exchange):
    """The app runs on the loop's own thread."""

    _listener: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Have the loop listen for the end of the connection, from the first call on.

        Many hosts tell it by `receive()` only, which would also bring the body; so not while
        there is one that the app has not read.
        """
        upload = self.upload
        if self._listener is None and (upload.ended or not self.has_body):
            self._listener = self.completions.loop.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            await self.upload.next()
            await self.upload.disconnected()
        except BridgeError:
            pass
        self.gone = True
        self.runner.interrupt(self, ClientDisconnected("the client is gone"))

    def is_disconnected(self) -> bool:
        """Whether the client is gone, as far as it is known."""
        self.listen()
        return self.gone

    def leave(self) -> None:
        """The request is over."""
        super().leave()
        if self._listener is not None:
            self._listener.cancel()


class InlineExchange(LoopExchange):
    """The app runs to its end, or until the outbox is full; its body was taken whole before."""

    _size = 0  # bytes in the outbox

    async def run(self) -> None:
        """Run the app, send, and so on while it pauses."""
        try:
            self.runner.submit(self)
            await self.send_outbox()
            while not self.over and not self.gone:
                self.listen()
                self._size = 0
                await asyncio.sleep(0)  # a send() that never waits must not hold the loop
                self.runner.submit(self)
                await self.send_outbox()
        except ClientDisconnected:
            return
        finally:
            if not self.over:
                self.runner.cancel(self)

    def write(self, chunk: bytes) -> bool:
        """One piece; a pause where more than 64 KiB wait (W39)."""
        self.put({"type": "http.response.body", "body": chunk, "more_body": True})
        self._size += len(chunk)
        return self._size < HIGH_WATER

    def flush(self) -> None:
        """Not possible on the loop; the outbox is sent when the app pauses or ends."""

    def send_file(self, file: Any, block_size: int, count: int | None) -> bool:
        """No: the app closes its file before it could be sent."""
        return False


class GreenletExchange(LoopExchange):
    """The app runs on the loop, in a greenlet that waits while a piece is sent."""

    async def run(self) -> None:
        """Run the app as part of this task, and send what is left."""
        loop = asyncio.get_running_loop()
        listening = loop.call_later(_PATIENCE, self.listen)  # where it waits that long
        try:
            await self.runner.run(self)
            await self.send_outbox()
        except ClientDisconnected:
            return
        finally:
            listening.cancel()

    def write(self, chunk: bytes) -> bool:
        """One piece; returns when the host has taken it and the loop has had its turn (G1)."""
        if self.gone:
            raise ClientDisconnected("the client is gone")
        self.put({"type": "http.response.body", "body": chunk, "more_body": True})
        self.listen()
        self.runner.wait(self._send_in_turn())
        return True

    async def _send_in_turn(self) -> None:
        await self.send_outbox()
        await asyncio.sleep(0)

    def flush(self) -> None:
        """Wait while the outbox is sent."""
        self.runner.wait(self.send_outbox())
