"""The new app of a route with `rescue`: the old one answers what it fails (M22)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bridge.cutover.answer import Answer
from bridge.cutover.canary.rescue import can_rescue, rescue
from bridge.cutover.route import NEW, OLD
from bridge.dispatcher import MountedApp, serve_websocket
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
    raised, before the old one is asked.
    """

    def __init__(
        self,
        sides: Mapping[str, MountedApp],
        fields: Callable[[str], RawHeaders],
        tell: Callable[[Exception], object],
    ) -> None:
        self._sides = sides
        self._fields = fields
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request or a WebSocket."""
        await self.run(
            scope, receive, self._answer(NEW, scope, send), self._answer(OLD, scope, send)
        )

    def _answer(self, side: str, scope: Scope, send: Send) -> Answer:
        return Answer(scope, send, self._fields(side))

    async def run(self, scope: Scope, receive: Receive, first: Answer, second: Answer) -> None:
        """Have the new app answer through `first`, or if it fails, the old one through `second`."""
        if not can_rescue(scope):
            await first.run(serve, self._sides[NEW], scope, receive)
            return

        async def new(scope: Scope, receive: Receive, send: Send) -> None:
            await serve(self._sides[NEW], scope, receive, send)

        async def old(scope: Scope, receive: Receive, send: Send) -> None:
            await second.run(serve, self._sides[OLD], scope, receive)

        await rescue(new, old, scope, receive, (first.send, second.send), self._tell)
