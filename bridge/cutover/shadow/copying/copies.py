"""Copies of requests, for the new app: which are made, and what has become of them (M10).

The way of one: `begins` says whether there is to be a copy. The old app's answer is kept as it
passes to the client (`tap.py`). When it is whole, it waits for the new app to be asked
(`making.py`); then a thread compares both (`comparing.py`). Each step has a bound, and beyond it
the copy is dropped and counted. Nothing of it runs in a task, a thread or a call that a client
waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from random import random
from typing import Any, Final

from bridge.cutover.route import Route
from bridge.cutover.shadow.copying.comparing import PATIENCE, Comparer
from bridge.cutover.shadow.copying.counts import Counts, Room
from bridge.cutover.shadow.copying.kept import Bounds, Kept
from bridge.cutover.shadow.copying.making import Maker
from bridge.cutover.shadow.copying.marks import SAFE, is_copy, kept_scope
from bridge.cutover.shadow.copying.settings import RouteShadow, Shadow
from bridge.cutover.shadow.copying.tap import AsgiTap, Serve, announces_body, tapped_wsgi
from bridge.cutover.shadow.report.file import BoundedFile
from bridge.cutover.table import Table
from bridge.dispatcher import MountedApp
from bridge.loops.waiters import NativeThread
from bridge.types import ASGIApp, Receive, Scope, Send, WSGIApp

#: Bytes of all bodies that are kept, of both sides.
_MOST_KEPT: Final = 64 * 1024 * 1024


class Copies:
    """The copies of one `Cutover`. `table` is in force now; `failed`: why there is no new app.

    Raises `ConfigError` if the report cannot be written.
    """

    def __init__(
        self,
        sides: Mapping[str, MountedApp],
        settings: Shadow | None,
        table: Callable[[], Table],
        failed: Callable[[], str],
    ) -> None:
        self.settings = settings = settings or Shadow()
        self.tally = Counts()
        self.room = Room(_MOST_KEPT)
        self._bounds = Bounds(settings, self.tally, self.room)
        file = None
        if settings.report is not None:
            file = BoundedFile(settings.report, settings.report_size)
        self._comparer = Comparer(settings, self.tally, file)
        self._maker = Maker(sides, settings, table, self.tally, self._comparer)
        self._failed = failed
        self._routes: dict[Route, RouteShadow] = {}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many copies of each route were equal, different, failed and dropped."""
        return self.tally.results()

    def reasons(self) -> dict[str, dict[str, int]]:
        """Return for what reasons copies of each route were dropped, and how often."""
        return self.tally.reasons()

    def of(self, route: Route) -> RouteShadow:
        """Return the settings for a route."""
        known = self._routes.get(route)
        if known is None:
            if len(self._routes) > 1_000:  # the table has changed again and again
                self._routes = {}
            known = self._routes[route] = (route.shadow or RouteShadow()).over(self.settings)
        return known

    def begins(self, route: Route, method: str) -> bool:
        """Whether a request is to be copied; if there is no room for it, that is counted."""
        if method not in SAFE:
            return False
        sample = self.of(route).sample
        if sample < 100 and random() * 100 >= sample:
            return False
        if not self._comparer.is_running:
            self._comparer.start()
        reason = "not-started" if self._failed() else self._maker.refuses()
        if reason:
            self.tally.drop(route.name, reason)
        return not reason

    def serving(self, route: Route, scope: Scope, serve: Serve) -> Serve:
        """Return what serves a request: `serve`, or what also keeps the answer for a copy."""
        if scope["type"] != "http" or is_copy(scope) or not self.begins(route, scope["method"]):
            return serve
        kept = self.keep(route, kept_scope(scope))
        kept.body_complete = not announces_body(scope)

        async def tapped(app: Any, scope: Scope, receive: Receive, send: Send) -> None:
            tap = AsgiTap(self._maker, kept, receive, send)
            try:
                await serve(app, scope, tap.receive, tap.send)
            finally:
                if not kept.over:
                    kept.drop("unfinished")

        return tapped

    def keep(self, route: Route, scope: Scope) -> Kept:
        """Begin to keep a request and its answer."""
        return Kept(self._bounds, route, scope)

    # --------------------------------------------------------- on our own server

    def tapped_asgi(
        self, route: Route, app: ASGIApp, state: dict[str, Any], *, with_body: bool
    ) -> ASGIApp:
        """Return the old app with a tap around it; each of its requests `begins`.

        `state` is the host's own, without that of the old app's lifespan. `with_body`: for
        requests that have one.
        """

        async def tapped(scope: Scope, receive: Receive, send: Send) -> None:
            mine = {**scope, "headers": scope["headers"].copy(), "state": state}
            kept = Kept(self._bounds, route, mine)
            if with_body:
                kept.body_complete = False
            tap = AsgiTap(self._maker, kept, receive, send)
            try:
                await app(scope, tap.receive, tap.send)
            finally:
                if not kept.over:
                    kept.drop("unfinished")

        return tapped

    def tapped_wsgi(self, route: Route, app: WSGIApp) -> WSGIApp:
        """Return the old app with a tap around it, as `tapped_asgi` does."""
        return tapped_wsgi(app, partial(Kept, self._bounds, route), self._maker)

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have copies be made in this loop, when threads ask for them."""
        self._maker.use_loop(loop)

    # --------------------------------------------------------- the life of the server

    def start(self) -> None:
        """Note that both apps start: there may be copies, also if there was a stop before."""
        self._maker.start()

    async def stop(self) -> None:
        """Cancel all copies at once, and write down what there is to say, in bounded time.

        It takes a thread of its own: those of the loop may all be held by an app that hangs.
        """
        await self._maker.stop()
        loop = asyncio.get_running_loop()
        closed = loop.create_future()

        def close() -> None:
            try:
                self._comparer.close()
            finally:
                with suppress(RuntimeError):  # the loop has closed
                    loop.call_soon_threadsafe(closed.cancel)

        NativeThread(close, "bridge-shadow-end").start()
        await asyncio.wait([closed], timeout=3 * PATIENCE)
