"""One WSGI request's run: the order of calls, and what may leave (PEP 3333; W30-W38).

`WsgiCall` calls the app, iterates over what it returns and closes it, and tells a `ResponseSink`
what leaves. It knows neither threads nor loops: its runner does, and the sink waits, or asks for a
pause, if a client is slow.

A response has three phases, which every method below keeps:

    PENDING   nothing has left: `start_response` may replace status and headers
    STARTED   the head has left, with the first bytes: an error can only cut the response
    OVER      the client has all of it, or is gone: an error is only logged

The plain case, one piece of bytes in a list, is one `ResponseSink.respond` and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bridge.errors import BridgeError, ClientDisconnected, IllegalResponse, SelfRequest
from bridge.http.error_response import error_response
from bridge.http.leniency import LENIENT, Leniency
from bridge.http.response_head import (
    ResponseHead,
    text_head,
    with_length,
    without_length,
)
from bridge.http.response_sink import ResponseSink, ResponseStream
from bridge.log import logger
from bridge.types import Address, Environ, ExcInfo, TextHeaders, Write, WSGIApp
from bridge.wsgi.chunks import as_chunks, check_chunk
from bridge.wsgi.file_wrapper import FileWrapper

#: The phases of a response, in their order. PENDING is the one that is false.
PENDING: Final = 0
STARTED: Final = 1
OVER: Final = 2


class WsgiCall:
    """One WSGI request against one sink; call it to run it. Never raises: errors are logged.

    Call, iteration and ``close()`` happen in whatever thread calls it (W37, W50).
    """

    #: Whether what the app returned is known to be one piece.
    _single_chunk = False
    #: Where the body goes, once the head has been given to the sink.
    _stream: ResponseStream
    #: For the runner: when it was queued.
    queued_at: float

    def __init__(
        self, app: WSGIApp, environ: Environ, sink: ResponseSink, leniency: Leniency = LENIENT
    ) -> None:
        self._app = app
        self._environ = environ
        self._sink = sink
        self._leniency = leniency
        self._head: ResponseHead | None = None  # once start_response was called
        self._iterator: Iterator[bytes] | None = None
        self._phase = PENDING

    def __call__(self) -> bool:
        """Run to the end, or to a pause that the sink asked for (False; inline runner only)."""
        if self._iterator is not None:
            return self._continue()
        environ = self._environ
        self._is_head = environ["REQUEST_METHOD"] == "HEAD"
        try:
            result = self._app(environ, self.start_response)
        except BaseException as error:  # StopIteration and SystemExit are errors like others, W38
            self._failed(error)
            return True
        head = self._head
        if type(result) is list and len(result) == 1 and head is not None and not self._phase:
            body = result[0]
            if type(body) is bytes and not self._no_body:
                if head.length == len(body):
                    self._respond(head, body)
                    return True
                if head.length is None:
                    self._respond(with_length(head, len(body)), body)
                    return True
        return self._iterate(result)

    # --------------------------------------------------------- what the app calls

    def start_response(
        self, status: str, headers: TextHeaders, exc_info: ExcInfo | None = None
    ) -> Write:
        """PEP 3333's ``start_response``; raises `IllegalResponse` if it is called wrongly.

        Its arguments may be named, as with most servers.
        """
        if exc_info is not None:
            try:
                if self._phase and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no circle through the traceback's frames
        elif self._head is not None:
            raise IllegalResponse("start_response() was called a second time without exc_info")
        if self._phase:
            raise IllegalResponse("start_response() was called after the response had started")
        self._head = head = text_head(status, headers, self._leniency)
        self._remaining = head.length
        self._no_body = head.has_no_body or self._is_head
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's ``write``: send `data` now; returns when the client has room for more."""
        chunk = data if type(data) is bytes else check_chunk(data)
        if chunk:
            self._emit(chunk)

    # --------------------------------------------------------- the iterable

    def _iterate(self, result: Any) -> bool:
        self._iterable: Any = result
        try:
            if isinstance(result, FileWrapper) and self._send_file(result):
                self._close()
                return True
            self._iterator, self._single_chunk = as_chunks(result)
        except BaseException as error:
            self._failed(error)
            self._close()
            return True
        return self._continue()

    def _continue(self) -> bool:
        try:
            for data in self._iterator or ():
                chunk = data if type(data) is bytes else check_chunk(data)
                if not chunk:
                    continue
                if not self._emit(chunk):
                    return False
                if self._phase == OVER and self._no_body:
                    break
                if self._remaining is not None and self._remaining < 0:
                    break
            self._end()
        except BaseException as error:
            self._failed(error)
        self._close()
        return True

    def _emit(self, chunk: bytes) -> bool:
        """Send one piece, cut at Content-Length (W36); False: the sink asks for a pause."""
        if self._phase == OVER:
            if not self._no_body:
                self._log_excess(len(chunk))
            return True
        if self._phase == PENDING:
            head = self._head
            if head is None:
                raise IllegalResponse("the app sent a body before it called start_response()")
            if self._no_body:
                counted = self._single_chunk and self._remaining is None
                if self._is_head and counted and not head.has_no_body:
                    head = with_length(head, len(chunk))
                self._respond_bare(head)
                return True
            if self._single_chunk and self._remaining is None:
                self._respond(with_length(head, len(chunk)), chunk)
                return True
            if self._remaining is not None and len(chunk) >= self._remaining:
                self._respond(head, chunk[: self._remaining])
                self._remaining -= len(chunk)
                if self._remaining < 0:
                    self._log_excess(-self._remaining)
                return True
            self._phase = STARTED
            self._stream = self._sink.start(head)
        return self._write(chunk)

    def _write(self, chunk: bytes) -> bool:
        left = self._remaining
        if left is None:
            return self._stream.write(chunk) is not False
        self._remaining = left - len(chunk)
        if self._remaining > 0:
            return self._stream.write(chunk) is not False
        self._stream.write(chunk[:left])
        self._phase = OVER
        self._stream.finish()
        if self._remaining < 0:
            self._log_excess(-self._remaining)
        return True

    def _end(self) -> None:
        """The iterable has ended: so does the response, unless it is over already."""
        if self._phase == OVER:
            return
        head = self._head
        if head is None:
            raise IllegalResponse("the app returned without calling start_response()")
        if self._phase == STARTED:
            if self._remaining:
                self._fail_short()
            else:
                self._phase = OVER
                self._stream.finish()
        elif self._no_body:
            self._respond_bare(head)
        elif self._remaining:
            self._fail_short()
        else:
            self._respond(with_length(head, 0) if self._remaining is None else head, b"")

    def _respond_bare(self, head: ResponseHead) -> None:
        """Hand over a response that has no body."""
        if head.status_code == 204 and head.length is not None:
            head = without_length(head)  # RFC 9110 §8.6: a client could wait for a body
        self._respond(head, b"")

    def _respond(self, head: ResponseHead, body: bytes) -> None:
        """Hand over a whole response; nothing raised here reaches the app."""
        self._phase = OVER
        try:
            self._sink.respond(head, body)
        except ClientDisconnected as error:
            self._client_gone(error)
        except BaseException:
            logger.exception("could not send the response to %s", self._name())

    # --------------------------------------------------------- files

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Have the sink send the file; False: not possible, iterate over it."""
        head = self._head
        if head is None or self._phase == OVER:
            return False
        size = wrapper.size()
        if size is None:
            return False
        if self._phase == PENDING:
            if self._remaining is None and not head.has_no_body:
                self._head = head = with_length(head, size)
                self._remaining = size
            if self._no_body or self._remaining == 0:
                self._end()
                return True
            if not wrapper.has_descriptor():
                return False
            self._phase = STARTED
            self._stream = self._sink.start(head)
        count = size if self._remaining is None else min(size, self._remaining)
        if not wrapper.has_descriptor() or not self._stream.send_file(
            wrapper.file, wrapper.block_size, count
        ):
            return False
        if self._remaining is not None:
            self._remaining -= count
        self._end()
        return True

    # --------------------------------------------------------- ways out

    def _close(self) -> None:
        """Call ``close()`` of what the app returned, once (W37)."""
        iterable, self._iterable, self._iterator = self._iterable, None, None
        close = getattr(iterable, "close", None)
        if close is not None:
            try:
                close()
            except BaseException:
                logger.exception("close() of the response to %s raised", self._name())

    @property
    def sink(self) -> ResponseSink:
        """Where the response goes."""
        return self._sink

    @property
    def peer(self) -> Address | None:
        """The client's address and port, if the environ has both."""
        environ = self._environ
        try:
            return environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])
        except (KeyError, TypeError, ValueError):  # not known; or the app has put words there
            return None

    def on_long_wait(self) -> None:
        """It waits for a thread; the server hears by itself when the client leaves."""

    def cancel(self) -> None:
        """Give up a paused call: the client is gone. For the thread or context that ran it."""
        if self._iterator is not None:
            self._phase = OVER
            self._close()

    def refuse(self, error: BridgeError) -> None:
        """Answer with `error`'s status instead of running the app (W52, W53)."""
        # An app that waits for itself is its own mistake, and each case is logged with its place.
        if isinstance(error, SelfRequest) or not self._sink.refused(error):
            logger.warning("refused %s: %s", self._name(), error)
        self._is_head = self._environ["REQUEST_METHOD"] == "HEAD"
        self._send_error(error)

    def _failed(self, error: BaseException) -> None:
        """The app raised, or broke a rule: a 500, or a response that is visibly cut (W38)."""
        if isinstance(error, ClientDisconnected):
            self._client_gone(error)
            return
        status = error.status if isinstance(error, BridgeError) else 500
        if status < 500:
            logger.info("%s: %s", self._name(), error)
        elif self._phase == OVER or not self._sink.failed(error):
            logger.error("error in the WSGI app at %s", self._name(), exc_info=error)
        if self._phase == OVER:
            return
        if self._phase == STARTED:
            self._abort()
        else:
            self._send_error(error)

    def _send_error(self, error: BaseException) -> None:
        """Tell the client of an error; what went wrong inside is in the log only."""
        self._no_body = self._is_head
        self._respond(*error_response(error, is_head=self._is_head))

    def _client_gone(self, error: ClientDisconnected) -> None:
        logger.debug("client gone during %s: %s", self._name(), error)
        self._phase = OVER
        self._abort()

    def _abort(self) -> None:
        self._phase = OVER
        try:
            self._sink.abort()
        except ClientDisconnected:
            pass
        except BaseException:
            logger.exception("could not cut the response to %s", self._name())

    def _log_excess(self, excess: int) -> None:
        if self._remaining is None or self._remaining >= 0:
            self._remaining = -excess
        logger.error(
            "the response to %s has more bytes than its Content-Length says; it was cut there",
            self._name(),
        )

    def _fail_short(self) -> None:
        """The body ends before its time: a visible break; a 500 if nothing has left (W36)."""
        done = "the connection is closed" if self._phase == STARTED else "the client gets a 500"
        error = IllegalResponse(
            f"the response to {self._name()} is {self._remaining} bytes shorter than its "
            f"Content-Length says; {done}"
        )
        if not self._sink.failed(error):
            logger.error("%s", error)
        if self._phase == STARTED:
            self._abort()
        else:
            self._send_error(error)

    def _name(self) -> str:
        environ = self._environ
        return f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')!r}"
