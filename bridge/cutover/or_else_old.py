"""The new app of a route with `rescue`: the old one answers what it fails (M22)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bridge.cutover.answer import Answer
from bridge.cutover.canary.rescue import can_rescue, rescue
from bridge.cutover.route import NEW, OLD
from bridge.dispatcher import MountedApp, serve_websocket
from bridge.fallback import REFUSALS
from bridge.types import RawHeaders, Receive, Scope, Send


async def serve(app: MountedApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run one of the two apps, with a scope of its own."""
    if scope["type"] == "websocket":
        await serve_websocket(app, scope, receive, send)
    else:
        await app.served(app.child_scope(scope), receive, send)


class OrElseOld:
    """An ASGI app: the new one of `sides`, with the old one behind it.

    `fields` returns what a side adds to its response; `tell` is called with what the new app
    raised, before the old one answers. `old_has` says whether the old app is known to have what a
    request asks for, so that its 404 or 405 is an answer; else that is no help.
    """

    def __init__(
        self,
        sides: Mapping[str, MountedApp],
        fields: Callable[[str], RawHeaders],
        tell: Callable[[Exception], object],
        old_has: Callable[[Scope], bool],
    ) -> None:
        self._sides = sides
        self._fields = fields
        self._tell = tell
        self._old_has = old_has

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket."""
        await self.run(scope, receive, send, partial(self._answer, scope))

    def _answer(self, scope: Scope, side: str, send: Send) -> Answer:
        return Answer(scope, send, self._fields(side))

    async def run(
        self, scope: Scope, receive: Receive, send: Send, answer: Callable[[str, Send], Answer]
    ) -> None:
        """Have the new app answer, or if it fails, the old one; `answer` makes what a side uses."""
        first = answer(NEW, send)
        if not can_rescue(scope):
            await first.run(serve, self._sides[NEW], scope, receive)
            return

        async def new(scope: Scope, receive: Receive, send: Send) -> None:
            await serve(self._sides[NEW], scope, receive, send)

        async def old(scope: Scope, receive: Receive, send: Send) -> None:
            await answer(OLD, send).run(serve, self._sides[OLD], scope, receive)

        def refuses(status: int) -> bool:
            return status in REFUSALS and not self._old_has(scope)

        failure = await rescue(new, old, scope, receive, (first.send, send), self._tell, refuses)
        if failure is None:
            return

        async def fail(app: Any, scope: Scope, receive: Receive, send: Send) -> None:
            await failure.send(send)

        await first.run(fail, None, scope, receive)
