"""One WSGI request's run: the order of calls, and what may leave (PEP 3333; W30-W38).

`WsgiCall` calls the app, iterates over what it returns and closes it, and tells a `ResponseSink`
what leaves. It knows neither threads nor loops: whoever runs it does, and the sink waits, or asks
for a pause, where a client is slow.

The story of a response, which every method below keeps:

    ----- start_response ----->  named   nothing has left: status and headers may be replaced
    ----- first bytes, or end -> started the head has left: an error can only cut the response
    ----- last byte, or end ---> over    the client has all of it: an error is only logged

The plain case, one piece of bytes in a list, is one `ResponseSink.respond` and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from bridge.types import Environ, ExcInfo, TextHeaders, Write, WSGIApp
from bridge.wsgi.file_wrapper import FileWrapper

#: Iterators over what is all there: nothing that they give has yet to be made.
_OVER_PIECES: Final[tuple[type, ...]] = (type(iter([])), type(iter(())))


class WsgiCall:
    """One WSGI request against one sink; call it to run it. Never raises: errors are logged.

    Call, iteration and ``close()`` happen in whatever thread calls it (W37, W50).
    """

    #: Whether what the app returned is known to be one piece.
    _only = False
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
        self._started = self._over = False

    def __call__(self) -> bool:
        """Run to the end, or to a pause that the sink asked for (False; inline runner only)."""
        if self._iterator is not None:
            return self._go_on()
        environ = self._environ
        self._is_head = environ["REQUEST_METHOD"] == "HEAD"
        try:
            result = self._app(environ, self.start_response)
        except BaseException as error:  # StopIteration and SystemExit are errors like others, W38
            self._failed(error)
            return True
        head = self._head
        if type(result) is list and len(result) == 1 and head is not None and not self._started:
            body = result[0]
            if type(body) is bytes and not self._bare:
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
        """PEP 3333's ``start_response``; raises `IllegalResponse` where it is called wrongly.

        Its arguments may be named, as most servers have it.
        """
        if exc_info is not None:
            try:
                if self._started and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no circle through the traceback's frames
        elif self._head is not None:
            raise IllegalResponse("start_response() was called a second time without exc_info")
        if self._started:
            raise IllegalResponse("start_response() was called after the response had started")
        self._head = head = text_head(status, headers, self._leniency)
        self._left = head.length
        self._bare = head.has_no_body or self._is_head
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's ``write``: send `data` now; returns when the client has room for more."""
        chunk = data if type(data) is bytes else _checked(data)
        if chunk:
            self._emit(chunk)

    # --------------------------------------------------------- the iterable

    def _iterate(self, result: Any) -> bool:
        self._iterable: Any = result
        try:
            if type(result) is list or type(result) is tuple:
                result = _joined(result)
                self._only = len(result) == 1
            elif isinstance(result, FileWrapper):
                if self._send_file(result):
                    self._close()
                    return True
            elif isinstance(result, (bytes, str)):
                raise TypeError(
                    f"the app returned {type(result).__name__}; return a list of bytes: [body]"
                )
            elif hasattr(result, "__len__"):
                self._only = len(result) == 1
            iterator = iter(result)
            if iterator is not result and type(iterator) in _OVER_PIECES:
                # A response object that has all its pieces, as Django's do, and tells no length.
                pieces = _joined(iterator)
                self._only = len(pieces) == 1
                iterator = iter(pieces)
            self._iterator = iterator
        except BaseException as error:
            self._failed(error)
            self._close()
            return True
        return self._go_on()

    def _go_on(self) -> bool:
        try:
            for data in self._iterator or ():
                chunk = data if type(data) is bytes else _checked(data)
                if not chunk:
                    continue
                if not self._emit(chunk):
                    return False
                if self._over and self._bare:
                    break
                if self._left is not None and self._left < 0:
                    break
            self._end()
        except BaseException as error:
            self._failed(error)
        self._close()
        return True

    def _emit(self, chunk: bytes) -> bool:
        """Send one piece, cut at Content-Length (W36); False: the sink asks for a pause."""
        if self._over:
            if not self._bare:
                self._too_much(len(chunk))
            return True
        if not self._started:
            head = self._head
            if head is None:
                raise IllegalResponse("the app sent a body before it called start_response()")
            if self._bare:
                if self._is_head and self._only and self._left is None and not head.has_no_body:
                    head = with_length(head, len(chunk))
                self._respond_bare(head)
                return True
            if self._only and self._left is None:
                self._respond(with_length(head, len(chunk)), chunk)
                return True
            if self._left is not None and len(chunk) >= self._left:
                self._respond(head, chunk[: self._left])
                self._left -= len(chunk)
                if self._left < 0:
                    self._too_much(-self._left)
                return True
            self._started = True
            self._stream = self._sink.start(head)
        return self._write(chunk)

    def _write(self, chunk: bytes) -> bool:
        left = self._left
        if left is None:
            return self._stream.write(chunk) is not False
        self._left = left - len(chunk)
        if self._left > 0:
            return self._stream.write(chunk) is not False
        self._stream.write(chunk[:left])
        self._over = True
        self._stream.finish()
        if self._left < 0:
            self._too_much(-self._left)
        return True

    def _end(self) -> None:
        """The iterable has ended: so does the response, unless it is over already."""
        if self._over:
            return
        head = self._head
        if head is None:
            raise IllegalResponse("the app returned without calling start_response()")
        if self._started:
            if self._left:
                self._too_little()
            else:
                self._over = True
                self._stream.finish()
        elif self._bare:
            self._respond_bare(head)
        elif self._left:
            self._too_little()
        else:
            self._respond(with_length(head, 0) if self._left is None else head, b"")

    def _respond_bare(self, head: ResponseHead) -> None:
        """Hand over a response that has no body."""
        if head.status_code == 204 and head.length is not None:
            head = without_length(head)  # RFC 9110 §8.6: a client could wait for a body
        self._respond(head, b"")

    def _respond(self, head: ResponseHead, body: bytes) -> None:
        """Hand over a whole response; nothing raised here reaches the app."""
        self._started = self._over = True
        try:
            self._sink.respond(head, body)
        except ClientDisconnected as error:
            self._gone(error)
        except BaseException:
            logger.exception("could not send the response to %s", self._name())

    # --------------------------------------------------------- files

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Have the sink send the file; False: not possible, iterate over it."""
        head = self._head
        if head is None or self._over:
            return False
        size = wrapper.size()
        if size is None:
            return False
        if not self._started:
            if self._left is None and not head.has_no_body:
                self._head = head = with_length(head, size)
                self._left = size
            if self._bare or self._left == 0:
                self._end()
                return True
            if not wrapper.is_real():
                return False
            self._started = True
            self._stream = self._sink.start(head)
        count = size if self._left is None else min(size, self._left)
        if not wrapper.is_real() or not self._stream.send_file(
            wrapper.file, wrapper.block_size, count
        ):
            return False
        if self._left is not None:
            self._left -= count
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
    def peer(self) -> tuple[str, int] | None:
        """The client's address and port, where the environ has both."""
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
            self._over = True
            self._close()

    def refuse(self, error: BridgeError) -> None:
        """Answer with `error`'s status instead of running the app (W52, W53)."""
        # That an app waits for itself is its own mistake, and each case says where.
        if isinstance(error, SelfRequest) or not self._sink.refused(error):
            logger.warning("refused %s: %s", self._name(), error)
        self._is_head = self._environ["REQUEST_METHOD"] == "HEAD"
        self._answer(error)

    def _failed(self, error: BaseException) -> None:
        """The app raised, or broke a rule: a 500, or a response that is visibly cut (W38)."""
        if isinstance(error, ClientDisconnected):
            self._gone(error)
            return
        status = error.status if isinstance(error, BridgeError) else 500
        if status < 500:
            logger.info("%s: %s", self._name(), error)
        elif self._over or not self._sink.failed(error):
            logger.error("error in the WSGI app at %s", self._name(), exc_info=error)
        if self._over:
            return
        if self._started:
            self._abort()
        else:
            self._answer(error)

    def _answer(self, error: BaseException) -> None:
        """Tell the client of an error; what went wrong inside is in the log only."""
        self._bare = self._is_head
        self._respond(*error_response(error, is_head=self._is_head))

    def _gone(self, error: ClientDisconnected) -> None:
        logger.debug("client gone during %s: %s", self._name(), error)
        self._over = True
        self._abort()

    def _abort(self) -> None:
        self._over = True
        try:
            self._sink.abort()
        except ClientDisconnected:
            pass
        except BaseException:
            logger.exception("could not cut the response to %s", self._name())

    def _too_much(self, excess: int) -> None:
        if self._left is None or self._left >= 0:
            self._left = -excess
        logger.error(
            "the response to %s has more bytes than its Content-Length says; it was cut there",
            self._name(),
        )

    def _too_little(self) -> None:
        """The body ends before its time: a visible break; a 500 if nothing has left (W36)."""
        done = "the connection is closed" if self._started else "the client gets a 500"
        error = IllegalResponse(
            f"the response to {self._name()} is {self._left} bytes shorter than its "
            f"Content-Length says; {done}"
        )
        if not self._sink.failed(error):
            logger.error("%s", error)
        if self._started:
            self._abort()
        else:
            self._answer(error)

    def _name(self) -> str:
        environ = self._environ
        return f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO')!r}"


def _checked(chunk: Any) -> bytes:
    if isinstance(chunk, bytes):
        return bytes(chunk)
    raise TypeError(
        f"the app's body has a {type(chunk).__name__} {chunk!r:.60}; PEP 3333 wants bytes"
    )


def _joined(pieces: Iterable[Any]) -> list[bytes]:
    """Pieces that are all there already, as one (W35)."""
    body = b"".join([piece if type(piece) is bytes else _checked(piece) for piece in pieces])
    return [body] if body else []
