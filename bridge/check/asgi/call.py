"""One HTTP request to an ASGI app, as a server makes it; wrong messages are noted.

The rules are those of the server: `asgi.messages` and `http.response_head`.
"""

from __future__ import annotations

import asyncio
import sys
from time import monotonic
from typing import Any, Final

from bridge.asgi import messages
from bridge.check.answers import Answer, note_stream, take_head
from bridge.check.asgi.ending import end, place_of_task
from bridge.check.catalogue.of_answers import ASGI_STREAM
from bridge.check.findings import Findings
from bridge.check.places import place_of, place_of_frame
from bridge.check.requests import Request
from bridge.errors import ClientDisconnected, IllegalMessage, pluralize
from bridge.http.response_head import ResponseHead, raw_head
from bridge.types import ASGIApp, Message

_FIRST: Final = asyncio.FIRST_COMPLETED
#: A response that streams is left after so many pieces, or seconds.
MOST_PIECES: Final = 200
MOST_SECONDS: Final = 1.0


class Call:
    """One request to `app`; await it once, on the loop."""

    def __init__(
        self,
        app: ASGIApp,
        request: Request,
        findings: Findings,
        root_path: str = "",
        state: dict[str, Any] | None = None,
    ) -> None:
        self._app = app
        self._request = request
        self._findings = findings
        self._scope = {**request.scope(root_path), "state": dict(state or {})}
        self._phase: str = messages.WAITING
        self._head: ResponseHead | None = None
        self._trailers = False
        self._pieces = 0
        self._begun = monotonic()
        #: Set at the end, or when the client leaves; the latter is told by `_has_left`.
        self._left = asyncio.Event()
        self._has_left = False
        self._to_receive = self._body_messages()
        self.answer = Answer(request)

    def _body_messages(self) -> list[Message]:
        body, half = self._request.body, len(self._request.body) // 2
        if self._request.leaves and body:
            return [{"type": "http.request", "body": body[:half], "more_body": True}]
        if self._request.chunked:
            return [
                {"type": "http.request", "body": body[:half], "more_body": True},
                {"type": "http.request", "body": body[half:], "more_body": False},
            ]
        return [{"type": "http.request", "body": body, "more_body": False}]

    async def __call__(self, seconds: float) -> Answer:
        """Run it, to the end or until the client leaves; for `seconds` at most. Raises nothing."""
        answer = self.answer
        task = asyncio.ensure_future(self._app(self._scope, self._receive, self._send))
        over = asyncio.ensure_future(self._left.wait())
        for wait in (min(seconds, MOST_SECONDS), seconds - MOST_SECONDS):
            if wait > 0 and not self._is_stream():
                await asyncio.wait({task, over}, timeout=wait, return_when=_FIRST)
        if not task.done() and self._phase == messages.STREAMING and not self._has_left:
            self._leave_stream()  # a quiet one: nothing comes, and that is no hang
        if not task.done() and self._has_left:
            await asyncio.wait({task}, timeout=seconds)
        over.cancel()
        self._left.set()
        answer.place = place_of_task(task)
        ended = await end(task, self._request.where, self._findings, is_late=self._has_left)
        answer.hangs = not ended and not self._has_left and self._phase != messages.OVER
        take_head(answer, self._head)
        if task.done() and not task.cancelled():
            error = task.exception()
            if error is not None and not (self._has_left and isinstance(error, Exception)):
                answer.error = error
            elif error is None:
                self._check_end()
        return answer

    # --------------------------------------------------------- what the app calls

    async def _receive(self) -> Message:
        self.answer.body_was_read |= bool(self._request.body)
        if self._to_receive:
            return self._to_receive.pop(0)
        if self._request.leaves and self._request.body:
            self._has_left = True
            self._left.set()
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._has_left:
            raise ClientDisconnected("the client has left")
        try:
            self._take(message)
        except IllegalMessage as error:
            place = place_of_frame(sys._getframe(1))
            about = {"request": self._request.where, "what": error}
            self._findings.add_once((place, str(error)), "illegal-message", place, **about)
            raise
        if self._phase == messages.OVER:
            return
        if self._pieces and self._request.leaves:
            self._has_left = True
            self._left.set()
        elif self._pieces and self._goes_on_for_long():
            self._leave_stream()
        await asyncio.sleep(0)

    def _take(self, message: Message) -> None:
        phase = self._phase
        after = messages.next_phase(messages.HTTP, phase, message, trailers=self._trailers)
        kind = message["type"]
        if kind == messages.START:
            self._head = raw_head(message.get("status"), message.get("headers", ()))
            self._trailers = bool(message.get("trailers", False))
        elif kind == messages.BODY:
            body = messages.check_body(message)
            self.answer.size += len(body)
            self._pieces += bool(body)
        self._phase = after

    def _is_stream(self) -> bool:
        """Whether pieces came, and the end did not, for so long."""
        return self._phase == messages.STREAMING and self._pieces > 0 and self._goes_on_for_long()

    def _goes_on_for_long(self) -> bool:
        return self._pieces >= MOST_PIECES or monotonic() - self._begun >= MOST_SECONDS

    def _leave_stream(self) -> None:
        """Leave a response that does not end, as clients of streams do."""
        self._has_left = True
        self._left.set()
        note_stream(self.answer, pluralize(self._pieces, "piece"), ASGI_STREAM, self._findings)

    # --------------------------------------------------------- the end

    def _check_end(self) -> None:
        head = self._head
        if self._has_left:
            return
        if head is None:
            self._tell_of_end("a response")
        elif self._phase != messages.OVER:
            self._tell_of_end("the end of its response")
        elif self._request.method != "HEAD" and not head.has_no_body:
            length = head.length
            if length is not None and length != self.answer.size:
                self._findings.add("length-lies", said=length, sent=self.answer.size)

    def _tell_of_end(self, what: str) -> None:
        place = place_of(self._app)
        self._findings.add_once(what, "no-response", place, request=self._request.where, what=what)
