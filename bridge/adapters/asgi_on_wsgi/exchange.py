"""The WSGI side of an exchange, from the host's call to the last piece of body (A20 to A34).

The app is submitted to the loop, and the host's thread waits. The head of the response is held
until something follows it, so that a simple response costs one wake-up (A34). Then the host is
told the head, and gets either the whole body, or the exchange itself as an iterator that goes on
waiting for each piece.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from bridge.adapters.asgi_on_wsgi.app_side import HEAD_DELAY, TICK, AppSide, client_gone
from bridge.adapters.asgi_on_wsgi.host_quirks import answers_errors, client_is_gone
from bridge.adapters.asgi_on_wsgi.instance import Running
from bridge.adapters.asgi_on_wsgi.request_body import Upload
from bridge.errors import AppError
from bridge.http.error_response import error_response
from bridge.limits import LOW_WATER, PIECE
from bridge.loops.waiters import Waiter
from bridge.types import Environ, ExcInfo, StartResponse

logger = logging.getLogger("bridge.error")


class HttpExchange(AppSide):
    """A request on its way through the app. Iterated by the host where the response streams."""

    _flush = False
    _flushed = False

    def __init__(self, running: Running, environ: Environ, start_response: StartResponse) -> None:
        """Raises `RequestError` where the request's Content-Length is malformed."""
        super().__init__(running, environ)
        self._start_response = start_response
        self._waiter: Waiter | None = None

    def respond(self) -> Iterable[bytes]:
        """Run the app until its response has begun, and tell the host; gives the body."""
        self._running.thread.submit(self._begin)
        try:
            self._wait(until_head=True)
            return self._start()
        except BaseException:  # the host's greenlet was killed, say: it will not close us
            self._leave()
            raise

    def _start(self) -> Iterable[bytes]:
        """Tell the host the head; gives the whole body where it is here, else `self`."""
        ended, failure = self._ended, self._failure
        if failure is not None and not self._chunks:
            return [self._fail(failure)]
        if self._status is None:
            return self._give_up()
        if self._hints is not None:
            self._give_hints()
        self._start_response(self._status, self._headers)
        if not ended:
            self._flush = not self._chunks
            return self
        if self._file is not None:
            body: Iterable[bytes] = self._environ["wsgi.file_wrapper"](self._file, PIECE)
            return body
        if self._waiter is not None:
            self._running.give_back_waiter(self._waiter)
        return list(self._chunks)

    def __iter__(self) -> HttpExchange:
        return self

    def __next__(self) -> bytes:
        """The next piece of the body; while the host writes it, the app may send another."""
        if self._flush:
            self._flush, self._flushed = False, True
            return b""  # lets the host send the head
        if not self._chunks:
            self._wait(until_head=False)
        ended, failure = self._ended, self._failure
        if self._chunks:
            chunk = self._chunks.popleft()
            self._taken += len(chunk)
            if self._blocked and self._sent - self._taken <= LOW_WATER:
                self._blocked = False
                self._running.thread.submit(self._resume)
            return chunk
        if ended:
            return self._read_file()
        if failure is not None:
            return self._fail(failure)
        raise self._stalled()

    def close(self) -> None:
        """The host is done: with a response that was not over, the client is gone (A26)."""
        if self._file is not None:
            self._file.close()
        self._leave()

    # --------------------------------------------------------- waiting

    def _wait(self, *, until_head: bool) -> None:
        """Return when there is something for the host; do meanwhile what the app asks for.

        It also returns when the head has been held back long enough (`until_head`), and when the
        time is up or the client gone (`_gone`).
        """
        waited = 0.0
        while not (self._chunks or self._ended or self._failure is not None):
            if self._upload is not None and self._upload.wanted:
                self._read(self._upload)
            elif self._hints:
                self._give_hints()
            elif self._sleep(HEAD_DELAY if until_head and not self._patient else TICK):
                waited = 0.0
                if until_head and self._patient and self._status is not None:
                    return
            else:
                waited += TICK if self._patient else HEAD_DELAY
                self._patient = True  # first this, then the look: see _take_start
                if until_head and self._status is not None:
                    return
                if self._is_hopeless(waited):
                    return

    def _give_hints(self) -> None:
        while self._hints:
            self._environ["wsgi.early_hints"](self._hints.popleft())

    def _sleep(self, step: float) -> bool:
        """Wait for news, at most `step` s; whether there was some."""
        if self._waiter is None:  # on one core, the loop has often answered before we come here
            self._waiter = self._running.waiter()
        self._sleeper = self._waiter  # first this, then the look: see _tell
        woken = self._news or self._waiter.wait(step)
        self._sleeper = None
        self._news = False
        return woken

    def _read(self, upload: Upload) -> None:
        message = upload.read()
        self._running.thread.submit(lambda: upload.put(message))

    def _is_hopeless(self, waited: float) -> bool:
        """Whether to wait no longer, because the time is up or the client has gone."""
        settings = self._running.settings
        limit = settings.response_timeout if self._status is None else settings.stream_timeout
        if waited >= limit:
            self._timed_out = True
        elif not (self._upload is None or self._upload.over) or not client_is_gone(self._environ):
            return False
        self._leave()
        return True

    # --------------------------------------------------------- what went wrong

    def _fail(self, failure: Exception) -> bytes:
        """The app failed: a 500 if nothing of its response has left, else a cut-off (A23).

        Before the app started its response the exception is the host's, which answers and logs
        it. After that it goes through ``start_response``, which raises it if it is too late.
        """
        able = answers_errors(self._environ)
        if self._taken or (self._status is None and able) or (self._flushed and not able):
            raise failure
        exc_info = (type(failure), failure, failure.__traceback__) if able else None
        body = self._answer(500, exc_info)
        when = "before" if self._status is None else "after"
        logger.error("the app failed %s it had started its response", when, exc_info=failure)
        self._taken = len(body)
        self._ended = True
        return body

    def _give_up(self) -> Iterable[bytes]:
        """There is no response: the time was up, or the client went away before it."""
        if not self._timed_out:
            return [self._answer(499)]
        limit = self._running.settings.response_timeout
        logger.error("the app sent no response within %s s (response_timeout)", limit)
        return [self._answer(504)]

    def _answer(self, status: int, exc_info: ExcInfo | None = None) -> bytes:
        """Begin a small response for the app, and return its body (`http.error_response`)."""
        is_head = self._environ["REQUEST_METHOD"] == "HEAD"
        head, body = error_response(status, is_head=is_head)
        line, fields = head.text
        self._start_response(line, fields.copy(), exc_info)
        return body

    def _stalled(self) -> Exception:
        if not self._timed_out:
            return client_gone()
        limit = self._running.settings.stream_timeout
        return AppError(f"the app sent nothing for {limit} s in its response (stream_timeout)")

    def _read_file(self) -> bytes:
        """The next piece of a file that came after the head had to be told."""
        piece = b"" if self._file is None else self._file.read(PIECE)
        if not piece:
            raise StopIteration
        return piece

    def _leave(self) -> None:
        """Tell an app that is not done that its client is gone: nobody takes its response."""
        if not self._ended and self._failure is None and not self._gone:
            self._gone = True
            try:
                self._running.thread.submit(self._hear_of_leaving)
            except RuntimeError:
                pass  # the loop has ended, and the app with it
