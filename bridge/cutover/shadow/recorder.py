"""The recorder: an ASGI middleware that writes what is asked, for a replay (M13).

    from bridge.cutover.shadow.recorder import Recorder
    app = Recorder(app, "requests.jsonl")

It passes every message on as it is, and writes when the app is done: a thread does that, so nobody
waits. Secrets are not written. WebSockets are not recorded, nor copies of shadow; and only if that
is wished, what may change something: other methods than GET, HEAD and OPTIONS, also if a GET names
them.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from bridge.cutover.shadow.methods import SAFE, is_safe
from bridge.cutover.shadow.records import RecordedRequest, request_from_scope
from bridge.cutover.shadow.replay.recording import line_of
from bridge.cutover.shadow.report.file import MOST_BYTES, BoundedFile
from bridge.cutover.shadow.report.writer import LineWriter
from bridge.detect import as_asgi
from bridge.types import ASGIApp, Message, Receive, Scope, Send

#: The most of a request's body that is written.
MOST_BODY: Final = 64 * 1024


class Recorder:
    """Write the requests to `app`, of any kind, to the file at `path`.

    `all_methods`: also POST and the like, with up to 64 KiB of their bodies. `most_bytes`: all
    files together; the oldest requests go first. Other arguments are those of `as_asgi`.
    Raises `ConfigError` if the file cannot be written, or if the app is of no kind.
    """

    def __init__(
        self,
        app: Any,
        path: str | Path,
        *,
        all_methods: bool = False,
        most_bytes: int = MOST_BYTES,
        kind: str | None = None,
        **settings: Any,
    ) -> None:
        self.app: ASGIApp = as_asgi(app, kind, **settings)
        self.writer = LineWriter(BoundedFile(path, most_bytes))
        self._all_methods = all_methods
        #: What a server calls the app at its start; empty: as it calls any app.
        self.announced_as = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app; a request is written afterwards, also if the app has failed."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] != "http" or not self._is_recorded(scope):
            await self.app(scope, receive, send)
        elif scope["method"] in SAFE:
            request = request_from_scope(scope)  # before the app can change it
            try:
                await self.app(scope, receive, send)
            finally:
                self._write(request)
        else:
            body = _Body(receive)
            request = request_from_scope(scope)
            try:
                await self.app(scope, body.receive, send)
            finally:
                self._write(body.complete(request))

    def _is_recorded(self, scope: Scope) -> bool:
        is_copy = "bridge.shadow" in scope.get("extensions", ())
        if is_copy or self._all_methods:
            return not is_copy
        return scope["method"] in SAFE and is_safe(request_from_scope(scope))

    def _write(self, request: RecordedRequest) -> None:
        self.writer.put(line_of(request))

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            await asyncio.to_thread(self.writer.close)

    def __repr__(self) -> str:
        return f"Recorder({self.app!r})"


class _Body:
    """What the app has read of a body, up to a limit."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._parts: list[bytes] = []
        self._size = 0
        self._ended = False

    async def receive(self) -> Message:
        """Pass the next message on, and keep its part of the body."""
        message = await self._receive()
        if message["type"] == "http.request":
            part = message.get("body", b"")
            if self._size < MOST_BODY:
                self._parts.append(bytes(part[: MOST_BODY - self._size]))
            self._size += len(part)
            self._ended = not message.get("more_body", False)
        return message

    def complete(self, request: RecordedRequest) -> RecordedRequest:
        """Return the request with its body, which is cut if the app has not read all of it."""
        cut = not self._ended or self._size > MOST_BODY
        return RecordedRequest(
            request.method,
            request.path,
            request.query,
            request.headers,
            b"".join(self._parts),
            cut,
            request.scheme,
        )
