"""Run a WSGI app for one request: the order of calls, and what is sent (PEP 3333; W30-W38).

`WsgiCall` calls the app, iterates over what it returns, closes it, and writes the response to a
`ResponseSink`. It knows neither threads nor loops: those are the runner's. If a client is slow the
sink waits, or asks for a pause.

A response has three phases:

    PENDING   nothing has been sent: `start_response` may replace status and headers
    STARTED   the head has been sent, with the first bytes: after an error the response is cut
    OVER      the response is complete, or the client is gone: an error is only logged

In the plain case, a list with one bytes object, there is one `ResponseSink.respond` and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from bridge.errors import (
    BridgeError,
    ClientDisconnected,
    IllegalResponse,
    RequestAnswered,
    RequestTimeout,
    SelfRequest,
)
from bridge.http.error_response import error_response
from bridge.http.leniency import LENIENT, Leniency
from bridge.http.response_head import (
    ResponseHead,
    text_head,
    without_length,
)
from bridge.http.response_sink import ResponseSink, ResponseStream
from bridge.log import logger
from bridge.types import Address, Environ, ExcInfo, TextHeaders, Write, WSGIApp
from bridge.wsgi.chunks import as_chunks, check_chunk
from bridge.wsgi.file_wrapper import FileWrapper

#: The phases of a response, in order. Only PENDING is false.
PENDING: Final = 0
STARTED: Final = 1
OVER: Final = 2


class WsgiCall:
    """One WSGI request and its sink; call the object to run it. Never raises: errors are logged.

    The app is called, iterated over and closed in the thread that calls this (W37, W50).
    """

    #: Whether the body is known to be one chunk.
    _single_chunk = False
    #: Whether the head has left before the end of the body; for the runner (R1).
    streams = False
    #: Where the body is written, once the sink has the head.
    _stream: ResponseStream
    #: When it was queued; set and read by the runner.
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
            self.fail(error)
            return True
        head = self._head
        if type(result) is list and len(result) == 1 and head is not None and not self._phase:
            body = result[0]
            if type(body) is bytes and not self._no_body:
                if head.length == len(body):
                    self._respond(head, body)
                    return True
                if head.length is None:
                    self._respond(head.with_length(len(body)), body)
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
        """PEP 3333's ``write``: send `data` now; returns when more may be written."""
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
            self.fail(error)
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
            self.fail(error)
        self._close()
        return True

    def _emit(self, chunk: bytes) -> bool:
        """Send one chunk, cut at Content-Length (W36); False: the sink asks for a pause."""
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
                    head = head.with_length(len(chunk))
                self._respond_bare(head)
                return True
            if self._single_chunk and self._remaining is None:
                self._respond(head.with_length(len(chunk)), chunk)
                return True
            if self._remaining is not None and len(chunk) >= self._remaining:
                self._respond(head, chunk[: self._remaining])
                self._remaining -= len(chunk)
                if self._remaining < 0:
                    self._log_excess(-self._remaining)
                return True
            self._phase = STARTED
            self.streams = True
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
        """End the response, because the iterable has ended."""
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
            self._respond(head.with_length(0) if self._remaining is None else head, b"")

    def _respond_bare(self, head: ResponseHead) -> None:
        """Send a response that has no body."""
        if head.status_code == 204 and head.length is not None:
            head = without_length(head)  # RFC 9110 §8.6: a client could wait for a body
        self._respond(head, b"")

    def _respond(self, head: ResponseHead, body: bytes) -> None:
        """Send a whole response; what the sink raises does not reach the app."""
        self._phase = OVER
        try:
            self._sink.respond(head, body)
        except ClientDisconnected as error:
            self._client_gone(error)
        except BaseException:
            logger.exception("could not send the response to %s", self._name())

    # --------------------------------------------------------- files

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Have the sink send the file; False: that is not possible, iterate over it."""
        head = self._head
        if head is None or self._phase == OVER:
            return False
        size = wrapper.size()
        if size is None:
            return False
        if self._phase == PENDING:
            if self._remaining is None and not head.has_no_body:
                self._head = head = head.with_length(size)
                self._remaining = size
            if self._no_body or self._remaining == 0:
                self._end()
                return True
            if not wrapper.has_descriptor():
                return False
            self._phase = STARTED
            self.streams = True
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

    # --------------------------------------------------------- the end, and errors

    def _close(self) -> None:
        """Call ``close()`` of what the app returned, exactly once (W37)."""
        iterable, self._iterable, self._iterator = self._iterable, None, None
        close = getattr(iterable, "close", None)
        if close is not None:
            try:
                close()
            except BaseException:
                logger.exception("close() of the response to %s raised", self._name())

    @property
    def sink(self) -> ResponseSink:
        """Where the response is written."""
        return self._sink

    @property
    def peer(self) -> Address | None:
        """The client's address and port, if the environ has both."""
        environ = self._environ
        try:
            return environ["REMOTE_ADDR"], int(environ["REMOTE_PORT"])
        except (KeyError, TypeError, ValueError):  # not known, or overwritten by the app
            return None

    def on_long_wait(self) -> None:
        """Do nothing; called by a runner if the request has to wait long for a thread.

        Other kinds of calls begin here to watch for a disconnect, which the server notices anyway.
        """

    def cancel(self) -> None:
        """Give up a paused call: the client is gone. Call it from the thread that ran the call."""
        if self._iterator is not None:
            self._phase = OVER
            self._close()

    def refuse(self, error: BridgeError) -> None:
        """Send `error`'s status instead of running the app (W52, W53)."""
        # An app that waits for itself has a bug, so each case is logged, with its place.
        if isinstance(error, SelfRequest) or not self._sink.refused(error):
            logger.warning("refused %s: %s", self._name(), error)
        self._is_head = self._environ["REQUEST_METHOD"] == "HEAD"
        self._send_error(error)

    def fail(self, error: BaseException) -> None:
        """Handle an error of the app: send a 500, or cut the response visibly (W38).

        The loop calls it with a `RequestTimeout` if the app does not end (R2); that is logged.
        """
        if isinstance(error, RequestAnswered):
            self._phase = OVER
            return
        if isinstance(error, ClientDisconnected):
            self._client_gone(error)
            return
        status = error.status if isinstance(error, BridgeError) else 500
        if isinstance(error, RequestTimeout):
            pass  # it was logged, with its place
        elif status < 500:
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
        """Send an error response; internal causes are only logged."""
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
        """Handle a body shorter than its length: cut the response, or send a 500 (W36)."""
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
