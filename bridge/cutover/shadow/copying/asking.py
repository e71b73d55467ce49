"""One app is asked a copied request, and its answer kept (M10)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from time import perf_counter
from typing import Any, Final

from bridge.cutover.shadow.copying.kept import OF_PIECE
from bridge.cutover.shadow.copying.loop_threads import IN_COPY, OfCopy, find_limiter, is_in_thread
from bridge.cutover.shadow.records import RecordedResponse, fields_from
from bridge.errors import BridgeError
from bridge.types import ASGIApp, Message, RawHeaders, Scope

#: Seconds from one look at a call that was given up, and is in a thread, to the next.
_LOOK: Final = 0.25


class TooLong(BridgeError):
    """An answer has more bytes than are kept; the message is the reason for which it is dropped."""


class NoAnswer(BridgeError):
    """There is no whole answer; the message says why, for people."""


class _Answer:
    """What the app is called with."""

    def __init__(self, body: bytes, most: int, hold: Callable[[int], bool]) -> None:
        self.whole = asyncio.Event()
        self.status = 0
        self.fields: RawHeaders = []
        self.parts: list[bytes] = []
        self.size = 0
        self.too_long = ""
        #: Seconds from the question to the whole answer.
        self.seconds = 0.0
        #: Nobody asks any more.
        self.closed = False
        self._started = perf_counter()
        self.stop: Callable[[], object] = bool
        self._request: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._most = most
        self._hold = hold

    async def receive(self) -> Message:
        """Give the request; then, when the answer is whole, say that the client has left."""
        request, self._request = self._request, None
        if request is not None:
            return request
        await self.whole.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep what the app says; what is too long ends it."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            self.fields = [*message.get("headers", ())]
        elif kind == "http.response.body" and not self.whole.is_set() and not self.closed:
            part = bytes(message.get("body", b""))
            self.size += len(part)
            if self.size > self._most:
                self._end("response-body")
            elif part and not self._hold(len(part) + OF_PIECE):
                self._end("memory")
            else:
                self.parts.append(part)
                if not message.get("more_body", False):
                    self.seconds = perf_counter() - self._started
                    self.whole.set()

    def _end(self, reason: str) -> None:
        self.too_long, self.parts = reason, []
        self.stop()


async def ask(
    app: ASGIApp,
    scope: Scope,
    body: bytes,
    most: int,
    seconds: float,
    hold: Callable[[int], bool],
    watch: Callable[[asyncio.Task[None]], object],
    of_copy: OfCopy,
) -> RecordedResponse:
    """Ask `app`, and return its answer, which has at most `most` bytes of body.

    `hold` takes memory for the answer. `watch` gets the task in which the app runs: an app that
    does not end when it is cancelled runs on, and nothing waits for it. `of_copy` has the threads
    that the app uses.
    Raises `TooLong`, and `NoAnswer`, also if there is none after so many `seconds`.
    """
    answer = _Answer(body, most, hold)

    async def run() -> None:
        await app(scope, answer.receive, answer.send)

    context = Context()
    context.run(IN_COPY.set, of_copy)
    task = asyncio.get_running_loop().create_task(run(), context=context)
    answer.stop = task.cancel
    of_copy.task = task
    watch(task)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        answer.closed = True
        _end(task, of_copy, None if task.done() else find_limiter())
    if answer.too_long:
        raise TooLong(answer.too_long)
    if not answer.whole.is_set():
        raise _no_answer(task, answer, seconds)
    fields = fields_from(answer.fields)
    return RecordedResponse(answer.status, fields, b"".join(answer.parts), seconds=answer.seconds)


def _end(task: asyncio.Task[None], of_copy: OfCopy, limiter: Any) -> None:
    """Cancel a call that nobody waits for; not before a thread of anyio has ended its part."""
    if is_in_thread(task, of_copy, limiter):
        asyncio.get_running_loop().call_later(
            _LOOK, _end, task, of_copy, limiter, context=Context()
        )
        return
    of_copy.close()
    task.cancel()


def _no_answer(task: asyncio.Task[None], answer: _Answer, seconds: float) -> NoAnswer:
    if not task.done():
        return NoAnswer(f"no answer within {seconds:g} s")
    error = None if task.cancelled() else task.exception()
    if error is not None:
        failure = NoAnswer(f"it raised {type(error).__name__}")
        failure.__cause__ = error
        return failure
    return NoAnswer("it broke its answer off" if answer.status else "it ended without an answer")
