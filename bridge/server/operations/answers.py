"""Requests that the server answers itself, before any app and any thread sees them (O1, O2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from bridge.http.error_response import error_response
from bridge.http.response_head import ResponseHead, raw_head
from bridge.server.exchange import DONE, Connection, Exchange
from bridge.server.request import Request


class Answer(NamedTuple):
    """A whole response."""

    head: ResponseHead
    body: bytes


#: Path -> what makes the answer for it, on the loop's thread.
Answers: TypeAlias = Mapping[str, Callable[[], Answer]]


def in_words(status: int, text: str = "") -> Answer:
    """Answer with the status, its reason phrase, and `text`."""
    return Answer(*error_response(status, text))


def as_document(kind: str, text: str) -> Answer:
    """Answer with a document of the content type `kind`, as it is now."""
    body = text.encode("utf-8", "replace")
    fields = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
    return Answer(raw_head(200, [*fields, (b"cache-control", b"no-store")]), body)


class OwnHandler:
    """Answers GET and HEAD for the paths that it knows, and 404 for all others."""

    #: The server's own limit holds.
    max_body_size: int | None = None

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def open(self, connection: Connection, request: Request) -> Exchange:
        """Make an exchange for this request."""
        return OwnExchange(self, connection, request)

    def answer(self, request: Request) -> Answer:
        """Return the answer to `request`; to HEAD without the body."""
        make = self._answers.get(request.path)
        if make is None:
            head, body = in_words(404)
        elif request.method in ("GET", "HEAD"):
            head, body = make()
        else:
            head, body = in_words(405)
            head = raw_head(405, [*head.raw_headers, (b"allow", b"GET, HEAD")])
        return Answer(head, b"" if request.method == "HEAD" else body)


class OwnExchange(Exchange):
    """One request that the server answers at once; no log of requests has it."""

    handler: OwnHandler
    COUNTED = False

    def __init__(self, handler: OwnHandler, connection: Connection, request: Request) -> None:
        super().__init__(connection, request)
        self.handler = handler

    def start_app(self) -> None:
        """Answer; no app is asked."""
        self.connection.send_whole(self, *self.handler.answer(self.request))

    def end(self, status: int = 0, size: int = 0, head: bytes | None = None) -> None:
        """Go on after the response, without a line in the access log."""
        if self.response is not None and not self.response.keep_alive:
            self.disable_keep_alive()
        self.response_state = DONE
        self.connection.exchange_done(self)
