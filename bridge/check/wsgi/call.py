"""One call of a WSGI app, as a server makes it; what PEP 3333 has to say of it is noted.

The rules themselves are those of the server: `http.response_head` and `wsgi.chunks`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from io import StringIO
from time import monotonic
from typing import Any, Final

from bridge.check.answers import Answer, note_stream, shown, take_head
from bridge.check.catalogue.of_answers import WSGI_STREAM
from bridge.check.findings import Findings
from bridge.check.places import place_of, place_of_error, place_of_frame
from bridge.check.requests import Request
from bridge.check.wsgi.body import Body
from bridge.errors import ClientDisconnected, IllegalResponse, pluralize
from bridge.http.leniency import Leniency
from bridge.http.response_head import ResponseHead, text_head
from bridge.loops.watchdog.stack import Place
from bridge.types import Environ, ExcInfo, TextHeaders, Write, WSGIApp
from bridge.wsgi.environ import environ_from_scope

#: A response that streams is left after so many pieces, or seconds.
MOST_PIECES: Final = 200
MOST_SECONDS: Final = 1.0


class _Noting(Leniency):
    """Takes what the server takes with a warning, and notes it."""

    def __init__(self, findings: Findings) -> None:
        super().__init__(None)
        self._findings = findings
        self.place: Place | None = None

    def tolerate(self, what: str, done: str) -> None:
        self._findings.add("lenient-head", self.place, what=what)


class Call:
    """One request to `app`; call it once, in the thread that is to run the app."""

    def __init__(
        self, app: WSGIApp, request: Request, findings: Findings, root_path: str = ""
    ) -> None:
        self._app = app
        self._request = request
        self._findings = findings
        self._leniency = _Noting(findings)
        self._root_path = root_path
        self._head: ResponseHead | None = None
        self._started = False
        self._place: Place | None = None
        self._body = Body(
            request.body,
            findings,
            breaks_off=request.leaves and bool(request.body),
        )
        self.answer = Answer(request)

    def __call__(self) -> Answer:
        """Run it, to the end or until the client leaves. Raises nothing."""
        answer = self.answer
        try:
            self._run()
        except ClientDisconnected:
            pass  # its client has left, and that is what the app was told
        except (Exception, SystemExit) as error:
            answer.error = error
        take_head(answer, self._head)
        answer.body_was_read = self._body.was_read
        return answer

    def environ(self) -> Environ:
        """Make the environ."""
        environ = environ_from_scope(self._request.scope(self._root_path))
        environ["wsgi.input"] = self._body
        environ["wsgi.errors"] = StringIO()
        return environ

    def _run(self) -> None:
        result = self._app(self.environ(), self.start_response)
        try:
            whole = self._iterate(result)
        finally:
            try:
                close = getattr(result, "close", None)
                if close is not None:
                    close()
            except Exception as error:
                self._findings.add("close-raises", place_of_error(error), error=shown(error))
            self._body.is_over = True
        if self._head is None and not self.answer.size:
            self._findings.add("no-start", place_of(self._app), what="returns")
        elif whole and self._head is not None:
            self._check_length(self._head)

    def _iterate(self, result: Any) -> bool:
        """Take the pieces; whether all were taken."""
        if isinstance(result, (str, bytes)):
            self._bad_body(f"a bare {type(result).__name__}")
            return False
        begun = monotonic()
        for pieces, piece in enumerate(result, 1):
            if not isinstance(piece, bytes):
                self._bad_body(f"made of {type(piece).__name__}")
                return False
            self._take(piece, "gives a piece of its body", place_of(self._app))
            if self._request.leaves and self.answer.size:
                return False
            if pieces >= MOST_PIECES or monotonic() - begun > MOST_SECONDS:
                note_stream(self.answer, pluralize(pieces, "piece"), WSGI_STREAM, self._findings)
                return False
        return True

    def _bad_body(self, seen: str) -> None:
        self._findings.add("str-body", self._place or place_of(self._app), seen=seen)

    def _take(self, piece: bytes, what: str, place: Place | None) -> None:
        if piece and self._head is None:
            self._findings.add("no-start", place, what=what)
        if piece:
            self._started = self._body.has_begun = True
        self.answer.size += len(piece)

    def _check_length(self, head: ResponseHead) -> None:
        if head.length is None or head.has_no_body or self._request.method == "HEAD":
            return
        if head.length != self.answer.size:
            self._findings.add("length-lies", self._place, said=head.length, sent=self.answer.size)

    # --------------------------------------------------------- what the app calls

    def start_response(
        self, status: str, headers: TextHeaders, exc_info: ExcInfo | None = None
    ) -> Write:
        """PEP 3333's ``start_response``."""
        place = place_of_frame(sys._getframe(1))
        if exc_info is not None:
            try:
                if self._started and exc_info[1] is not None:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            self._findings.add("start-twice", place)
            raise IllegalResponse("start_response() was called a second time without exc_info")
        self._place = self._leniency.place = place
        try:
            self._head = text_head(status, headers, self._leniency)
        except IllegalResponse as error:
            self._findings.add("illegal-head", place, what=error)
            raise
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333's ``write``."""
        place = place_of_frame(sys._getframe(1))
        self._findings.add("write", place)
        if type(data) is not bytes:
            self._findings.add("str-body", place, seen=f"a {type(data).__name__}")
            raise IllegalResponse(f"write() takes bytes, not {type(data).__name__}")
        self._take(data, "writes a piece of its body", place)


def validated(app: WSGIApp) -> WSGIApp:
    """Return `app` behind `wsgiref.validate`, with a plain function's signature."""
    from wsgiref.validate import validator

    watched: Any = validator(app)  # type: ignore[arg-type]  # its own StartResponse

    def wsgi(environ: Environ, start_response: Any) -> Iterable[bytes]:
        result: Iterable[bytes] = watched(environ, start_response)
        return result

    return wsgi
