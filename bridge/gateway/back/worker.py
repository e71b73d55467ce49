"""A worker: a host of an app that has no socket; its requests come by Redis (rules L9, L10).

    start:  connect -> lifespan startup -> take requests
    stop:   take no more -> what runs ends, or is cut -> lifespan shutdown -> leave

The clients are with the gateways. Each request, and each WebSocket, is a `TakenRequest` here, with
a task that runs the app; a request that is over at once, or that the app's runner has alone, needs
none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

from bridge.adapters.runner_app import RunnerApp
from bridge.asgi.lifespan import Lifespan, Mode
from bridge.asgi1.app import ConsumerApp
from bridge.asgi1.signature import runs_on_loop
from bridge.channels.redis.link import Link
from bridge.detect import as_asgi
from bridge.dispatcher import Dispatcher
from bridge.errors import ConfigError, pluralize
from bridge.gateway.back.app_session import AppSession, TakenRequest
from bridge.gateway.back.consumer_http import call_at_once
from bridge.gateway.back.consumer_session import ConsumerSession, hand_back
from bridge.gateway.back.http_session import HttpSession
from bridge.gateway.back.intake import Intake
from bridge.gateway.back.mounted_consumers import find
from bridge.gateway.back.socket_session import SocketSession
from bridge.gateway.back.untold import Untold
from bridge.gateway.back.wsgi_session import WsgiSession
from bridge.gateway.bus import Bus
from bridge.gateway.protocol import CONSUMERS, END, SESSION, TAKEN, Request
from bridge.log import logger
from bridge.loops.tasks import task_starter
from bridge.types import ASGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi

#: The most requests and WebSockets at a time, if nothing else is said.
PLACES: Final = 100
#: Seconds that apps have to clean up when they are cancelled; and after an order to cut.
CANCEL_GRACE: Final = 1.0
CUT_GRACE: Final = 0.2

_SESSIONS: Final[dict[str, type[AppSession]]] = {
    "http": HttpSession,
    "websocket": SocketSession,
    "consumer": ConsumerSession,
}


class Worker:
    """Runs `app`, of any kind, for the gateways that use the Redis at `url` with this `prefix`.

    `limit_concurrency`: the most requests and WebSockets at a time. `lifespan` and the timeouts
    are those of `Lifespan`. It belongs to the event loop that starts it::

        worker = Worker(app, "redis://localhost")
        await worker.start()
        ...
        await worker.stop()
    """

    def __init__(
        self,
        app: Any,
        url: str,
        *,
        kind: str | None = None,
        prefix: str = "bridge",
        limit_concurrency: int = PLACES,
        lifespan: Mode = "auto",
        timeout_startup: float | None = 60.0,
        timeout_shutdown: float | None = 30.0,
    ) -> None:
        if type(limit_concurrency) is not int or limit_concurrency < 1:
            raise ConfigError(
                f"limit_concurrency is {limit_concurrency!r}; allowed is a whole number from 1"
            )
        self.app: ASGIApp = as_asgi(app, kind)
        #: The app, if it is a WSGI app.
        self._wsgi = self.app if type(self.app) is WsgiToAsgi else None
        self._limit = limit_concurrency
        self._lifespan = Lifespan(
            self.app,
            mode=lifespan,
            startup_timeout=timeout_startup,
            shutdown_timeout=timeout_shutdown,
        )
        self.bus = Bus(url, "worker", prefix=prefix)
        waiter = Link(url, name=f"{prefix}.{self.bus.name}.requests")
        queued = self._count_queued if _runs_in_threads(self.app) else None
        self._intake = Intake(self.bus, waiter, self._count_free, self._run, queued)
        self._may_be_consumers = isinstance(self.app, (ConsumerApp, Dispatcher))
        self._untold = Untold(self._intake.note_slow)
        #: What runs now, and its task; None: its runner alone has it.
        self._running: dict[TakenRequest, asyncio.Task[None] | None] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        #: Requests and WebSockets taken so far.
        self.taken = 0

    @property
    def busy(self) -> int:
        """Return the number of requests and WebSockets that run now."""
        return len(self._running)

    @property
    def shown(self) -> str:
        """Return for people where its Redis is, and how much it takes."""
        return (
            f"Redis at {self.bus.link.shown}, up to {pluralize(self._limit, 'request')} at a time"
        )

    # --------------------------------------------------------- start and stop

    async def start(self) -> None:
        """Connect, start the app, and take requests from now on.

        Raises `LayerUnavailable` if Redis does not answer, and `LifespanFailed`.
        """
        self._new_task = task_starter(asyncio.get_running_loop())
        await self.bus.open()
        try:
            await self._lifespan.startup()
            await self._intake.open()
        except BaseException:
            await self._lifespan.shutdown()
            await self._leave()
            raise

    async def stop(self, grace: float = 30.0, cut: asyncio.Event | None = None) -> None:
        """Take no more, let what runs end, shut the app down, leave.

        What runs is cut after `grace` seconds, or when `cut` is set. Raises `LifespanFailed`.
        """
        try:
            await self._intake.stop()
            for session in list(self._running):
                session.shutdown()
            cut = cut or asyncio.Event()
            await self._drain(grace, cut)
            await self._cut(CUT_GRACE if cut.is_set() else CANCEL_GRACE)
            await self._shutdown(cut)
        finally:
            await self._leave()

    async def _shutdown(self, cut: asyncio.Event) -> None:
        """Shut the app down; give that up when `cut` is set. Raises `LifespanFailed`."""
        shutdown = asyncio.ensure_future(self._lifespan.shutdown())
        told = asyncio.ensure_future(cut.wait())
        await asyncio.wait([shutdown, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not shutdown.done():
            shutdown.cancel()
            await asyncio.wait([shutdown], timeout=CUT_GRACE)
            return
        shutdown.result()

    async def _drain(self, grace: float, cut: asyncio.Event) -> None:
        """Wait until nothing runs, at most `grace` seconds, or until `cut`."""
        if not self._running:
            return
        logger.info(
            "stopping: %s still under way (at most %g s)",
            pluralize(len(self._running), "request"),
            round(grace, 1),
        )
        ends = [asyncio.ensure_future(each.wait()) for each in (self._idle, cut)]
        await asyncio.wait(ends, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()

    async def _cut(self, grace: float) -> None:
        """Cancel what is left, and give it `grace` seconds to clean up."""
        if not self._running:
            return
        logger.warning("cut %s still under way", pluralize(len(self._running), "request"))
        for session, task in list(self._running.items()):
            session.cut(task)
        tasks = [task for task in self._running.values() if task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        if self._running:
            logger.error(
                "%s went on after being cancelled: left behind",
                pluralize(len(self._running), "task"),
            )

    async def _leave(self) -> None:
        await self._intake.close()
        await self.bus.close()

    # --------------------------------------------------------- requests

    def _count_free(self) -> int:
        return self._limit - len(self._running)

    def _count_queued(self) -> int:
        assert isinstance(self.app, RunnerApp)
        return len(self.app.runner.queue)

    def _run(self, request: Request) -> None:
        """Run the app for a request that is ours."""
        self.taken += 1
        if self._wsgi is not None and request.scope.get("type") == "http":
            called = WsgiSession(self.bus, request, self._wsgi, self._start_task, self._ended)
            if not called.begin(self._lifespan.state):
                self._note_running(called, None)
            return
        if self._may_be_consumers and self._call_consumer(request):
            return
        running = self._session_of(request)
        if running is not None:
            self._start_task(running, running.run(self.app, self._lifespan.state))

    def _call_consumer(self, request: Request) -> bool:
        """Call the consumer that takes a request, or hand it back; False if there is none."""
        scope = request.scope
        if CONSUMERS not in (scope.get("extensions") or ()):
            return False
        found = find(self.app, scope)
        if found is None:
            return False
        call = call_at_once(self.bus, request, found)
        if call is None:
            hand_back(self.bus.accept(request), found)
        elif not call.begin(self._start_task, self._ended):
            self._note_running(call, None)
        return True

    def _session_of(self, request: Request) -> AppSession | None:
        """Return what runs the app for a request; None if nothing does: its gateway was told so."""
        scope = request.scope
        kind = _SESSIONS.get(scope.get("type", ""))
        if kind is None:
            session = self.bus.accept(request)
            session.write(TAKEN, SESSION)
            session.write(END, f"a worker runs no {scope.get('type')!r:.60}")
            return None
        return kind(self.bus, request)

    def _start_task(self, session: TakenRequest, running: Coroutine[Any, Any, None]) -> None:
        task = self._new_task(running)
        if not task.done():
            self._note_running(session, task)
            task.add_done_callback(partial(self._ended, session))
        elif session in self._running:
            self._ended(session)

    def _note_running(self, session: TakenRequest, task: asyncio.Task[None] | None) -> None:
        self._running[session] = task
        self._idle.clear()
        self._untold.add(session)

    def _ended(self, session: TakenRequest, task: asyncio.Task[None] | None = None) -> None:
        del self._running[session]
        self._intake.note_place()
        if not self._running:
            self._idle.set()


def _runs_in_threads(app: ASGIApp) -> bool:
    """Whether each request waits for a thread of the app's runner, and for nothing else."""
    if type(app) is WsgiToAsgi:
        return app.runner.threaded
    return type(app) is ConsumerApp and app.runner.threaded and not runs_on_loop(app.app)
