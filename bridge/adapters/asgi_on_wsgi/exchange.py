"""The WSGI side of an exchange, from the host's call to the last piece of body (A20 to A34).

The app is submitted to the loop, and the host's thread waits. The head of the response is held
until something follows it, so that a simple response costs one wake-up (A34). Then the host is
told the head, and gets either the whole body, or the exchange itself as an iterator that goes on
waiting for each piece.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bridge.adapters.asgi_on_wsgi.app_side import AppSide, client_gone
from bridge.adapters.asgi_on_wsgi.host_quirks import client_is_gone, turns_errors_into_500
from bridge.adapters.asgi_on_wsgi.instance import AppInstance
from bridge.adapters.asgi_on_wsgi.request_body import COMING, RequestBody
from bridge.adapters.asgi_on_wsgi.response_queue import (
    EXPECTING,
    GONE,
    HEAD_DELAY,
    TIMED_OUT,
    WAITING,
    ResponseQueue,
)
from bridge.asgi.scope import body_length
from bridge.errors import AppError
from bridge.http.error_response import error_response
from bridge.limits import READ_SIZE
from bridge.log import logger
from bridge.loops.waiters import Waiter
from bridge.types import Environ, ExcInfo, StartResponse

#: Seconds between two looks at the client and the time, while nothing comes from the app.
TICK: Final = 1.0

#: What the host has of the response: nothing; the head, which leaves with an empty piece next; the
#: head, which has left; the head, which leaves with the first piece; all that it will get.
HELD, FLUSHING, FLUSHED, STARTED, DONE = range(5)


class HttpExchange:
    """A request on its way through the app. Iterated by the host if the response streams."""

    __slots__ = (
        "_app",
        "_body",
        "_environ",
        "_instance",
        "_phase",
        "_queue",
        "_start_response",
        "_waiter",
    )

    def __init__(
        self, instance: AppInstance, environ: Environ, start_response: StartResponse
    ) -> None:
        """Raises `RequestError` if the request's Content-Length is malformed."""
        length = body_length(environ)
        self._body = None if length == 0 else RequestBody(environ["wsgi.input"], length)
        self._instance = instance
        self._environ = environ
        self._start_response = start_response
        self._queue = ResponseQueue()
        self._app = AppSide(instance, environ, self._body, self._queue)
        self._waiter: Waiter | None = None
        self._phase = HELD

    def respond(self) -> Iterable[bytes]:
        """Run the app until its response has begun, and tell the host; return the body."""
        self._instance.thread.submit(self._app.start)
        try:
            self._wait(until_head=True)
            return self._start()
        except BaseException:  # the host's greenlet was killed, say: it will not close us
            self._disconnect()
            raise

    def _start(self) -> Iterable[bytes]:
        """Tell the host the head; return the whole body if it is here, else `self`."""
        queue = self._queue
        ended, failure = queue.ended, queue.failure  # before the look at the pieces
        if failure is not None and not queue.chunks:
            return self._fail(failure)
        if queue.status is None:
            return self._no_response()
        if queue.hints is not None:
            self._give_hints()
        self._start_response(queue.status, queue.headers)
        if not ended:
            self._phase = STARTED if queue.chunks else FLUSHING
            return self
        if queue.file is not None:
            body: Iterable[bytes] = self._environ["wsgi.file_wrapper"](queue.file, READ_SIZE)
            return body
        if self._waiter is not None:
            self._instance.return_waiter(self._waiter)
        return list(queue.chunks)

    def __iter__(self) -> HttpExchange:
        return self

    def __next__(self) -> bytes:
        """Return the next piece of the body; while the host writes it, the app may send more."""
        if self._phase == FLUSHING:
            self._phase = FLUSHED
            return b""  # lets the host send the head
        queue = self._queue
        if not queue.chunks:
            self._wait(until_head=False)
            ended, failure = queue.ended, queue.failure  # before the next look at the pieces
            if not queue.chunks:
                return self._after_pieces(ended, failure)
        chunk = queue.take()
        if queue.app_waits and queue.lets_app_continue():
            self._instance.thread.submit(self._app.resume)
        return chunk

    def _after_pieces(self, ended: bool, failure: Exception | None) -> bytes:
        if ended or self._phase == DONE:
            return self._read_file()
        if failure is not None:
            return self._fail(failure)[0]
        raise self._broken_off()

    def close(self) -> None:
        """End, as the host is done: if the response was not over, the client is gone (A26)."""
        if self._queue.file is not None:
            self._queue.file.close()
        self._disconnect()

    # --------------------------------------------------------- waiting

    def _wait(self, *, until_head: bool) -> None:
        """Return when there is something for the host; do meanwhile what the app asks for.

        It also returns when the head has been held back long enough (`until_head`), and when the
        time is up or the client gone.
        """
        queue, body = self._queue, self._body
        waited = 0.0
        while not (queue.chunks or queue.ended or queue.failure is not None):
            if body is not None and body.wanted:
                self._read(body)
            elif queue.hints:
                self._give_hints()
            else:
                step = HEAD_DELAY if until_head and queue.host == EXPECTING else TICK
                if queue.wait(self._waiter or self._new_waiter(), step):
                    waited = 0.0
                    if until_head and queue.host == WAITING and queue.status is not None:
                        return
                else:
                    waited += HEAD_DELAY if queue.host == EXPECTING else TICK
                    queue.set_host(WAITING)  # first this, then the look: see `AppSide._take_start`
                    if (until_head and queue.status is not None) or self._should_give_up(waited):
                        return

    def _give_hints(self) -> None:
        hints = self._queue.hints
        while hints:
            self._environ["wsgi.early_hints"](hints.popleft())

    def _new_waiter(self) -> Waiter:
        # Not made before: on one core, the loop has often answered before we come here.
        self._waiter = made = self._instance.waiter()
        return made

    def _read(self, body: RequestBody) -> None:
        message = body.read()
        self._instance.thread.submit(lambda: body.put(message))

    def _should_give_up(self, waited: float) -> bool:
        """Whether to wait no longer, because the time is up or the client has gone."""
        settings = self._instance.settings
        responding = self._queue.status is not None
        limit = settings.stream_timeout if responding else settings.response_timeout
        if waited >= limit:
            self._disconnect(TIMED_OUT)
            return True
        reading = self._body is not None and self._body.phase == COMING
        if reading or not client_is_gone(self._environ):
            return False
        self._disconnect()
        return True

    def _disconnect(self, because: int = GONE) -> None:
        """Tell an app that is not done that nobody takes its response any more."""
        queue = self._queue
        if not queue.ended and queue.failure is None and queue.host < GONE:
            queue.set_host(because)
            try:
                self._instance.thread.submit(self._app.on_disconnect)
            except RuntimeError:
                pass  # the loop has ended, and the app with it

    # --------------------------------------------------------- what went wrong

    def _fail(self, failure: Exception) -> list[bytes]:
        """Answer for an app that failed: a 500, or a cut-off if its response has left (A23).

        Before the app started its response the exception is the host's, which answers and logs
        it. After that it goes through ``start_response``, which raises it if it is too late.
        """
        able = turns_errors_into_500(self._environ)
        started = self._queue.status is not None
        if self._queue.taken or (able and not started) or (self._phase == FLUSHED and not able):
            raise failure
        exc_info = (type(failure), failure, failure.__traceback__) if able else None
        body = answer_error(500, self._environ, self._start_response, exc_info)
        when = "after" if started else "before"
        logger.error("the app failed %s it had started its response", when, exc_info=failure)
        self._phase = DONE
        return body

    def _no_response(self) -> list[bytes]:
        """Answer in the app's place: the time was up, or the client went away before that."""
        if self._queue.host != TIMED_OUT:
            return answer_error(499, self._environ, self._start_response)
        limit = self._instance.settings.response_timeout
        logger.error("the app sent no response within %s s (response_timeout)", limit)
        return answer_error(504, self._environ, self._start_response)

    def _broken_off(self) -> Exception:
        """Make the error that ends a response whose rest will not come."""
        if self._queue.host != TIMED_OUT:
            return client_gone()
        limit = self._instance.settings.stream_timeout
        return AppError(f"the app sent nothing for {limit} s in its response (stream_timeout)")

    def _read_file(self) -> bytes:
        """Read the next piece of a file that came after the head had to be told."""
        file = self._queue.file
        piece = b"" if file is None else file.read(READ_SIZE)
        if not piece:
            raise StopIteration
        return piece


def answer_error(
    error: BaseException | int,
    environ: Environ,
    start_response: StartResponse,
    exc_info: ExcInfo | None = None,
) -> list[bytes]:
    """Answer with an error instead of the app's response; return the body."""
    is_head = environ.get("REQUEST_METHOD") == "HEAD"
    head, body = error_response(error, is_head=is_head)
    status, headers = head.text
    start_response(status, headers.copy(), exc_info)
    return [body]
