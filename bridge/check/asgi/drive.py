"""Send the requests to an ASGI app, on a loop in a thread of its own; note what comes."""

from __future__ import annotations

from collections.abc import Coroutine
from types import FrameType
from typing import Any, Final, TypeVar

from bridge.check.answers import Answer, judge, shown
from bridge.check.asgi.call import Call
from bridge.check.asgi.lifespan import WatchedLifespan
from bridge.check.asgi.websocket import WebSocketCall
from bridge.check.driving import Drive
from bridge.check.findings import Findings
from bridge.check.places import own_place_of_frame, place_of_error
from bridge.check.requests import Options, Request
from bridge.check.watching.bounded import Loop, Outcome, run_here
from bridge.check.watching.logs import Logs
from bridge.check.wsgi.shared import is_thread_bound
from bridge.loops.factory import new_event_loop
from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.stack import Place
from bridge.types import ASGIApp

T = TypeVar("T")

#: What a job may take in all: its own bounds, several of which may come one after another.
_BOUNDS: Final = 3
_SLACK: Final = 2.0


class AsgiDrive(Drive):
    """Drives one ASGI app."""

    def __init__(
        self,
        app: ASGIApp,
        options: Options,
        findings: Findings,
        logs: Logs,
        root_path: str = "",
        *,
        websocket: bool = True,
    ) -> None:
        super().__init__(options, findings, logs, root_path)
        self._app = app
        #: That of the lifespan.
        self._state: dict[str, Any] = {}
        #: Whether a WebSocket is tried. A consumer (ASGI 1) may leave one without an answer.
        self._websocket = websocket
        #: What is being asked.
        self._current = "the startup"
        #: Places that have blocked the loop, and in which request: a first time may be an import.
        self._blocks: dict[Place, str] = {}
        self._loop = Loop(self._on_block, self._audit)

    def run(self) -> None:
        """Send everything that may be sent, between a startup and a shutdown."""
        seconds = self._options.seconds
        lifespan = WatchedLifespan(self._app, self._findings, seconds)
        self._bounded(lifespan.startup())
        self._logs.take()
        self._state = lifespan.state
        self._send_requests()
        if self._websocket and not self._gave_up:
            self._current = "a WebSocket to /"
            socket = WebSocketCall(self._app, self._findings, self._root_path, self._state)
            self._bounded(socket(seconds))
        self._current = "the shutdown"
        self._bounded(lifespan.shutdown())
        self._logs.take()
        self._loop.close()

    @property
    def _gave_up(self) -> bool:
        return self._loop.hangs or super()._gave_up

    def _send(self, request: Request) -> Answer:
        seconds = self._options.seconds
        self._current = str(request)

        async def send() -> Answer:
            call = Call(self._app, request, self._findings, self._root_path, self._state)
            return await call(seconds)

        outcome = self._bounded(send())
        answer = outcome.value or Answer(request, hangs=True)
        if answer.hangs:
            place = outcome.place or answer.place
            self._findings.add_once(0, "hangs", place, request=request.where, seconds=seconds)
        logged = self._logs.take()
        error = answer.error or logged
        if error is not None and is_thread_bound(error):
            answer, logged = self._tried_here(request, answer, error)
        judge(answer, logged, self._findings)
        return answer

    def _tried_here(
        self, request: Request, failed: Answer, error: BaseException
    ) -> tuple[Answer, BaseException | None]:
        """Send a request again in this thread, where a server has its loop; return what counts.

        What counts is the first answer, unless this one is good: on another loop, much that the
        startup has made does not work.
        """
        loop, seconds = new_event_loop(), self._options.seconds
        call = Call(self._app, request, Findings(), self._root_path, self._state)
        try:
            answer = run_here(lambda: loop.run_until_complete(call(seconds)), seconds).value
        finally:
            loop.close()
        logged = self._logs.take()
        if answer is None or answer.error is not None or not 0 < answer.status < 500:
            return failed, error
        place, why = place_of_error(error), shown(error).partition(". ")[0]
        about = {"request": request.where, "error": why}
        self._findings.add_once(place or why, "one-thread", place, **about)
        return answer, logged

    def _bounded(self, job: Coroutine[Any, Any, T]) -> Outcome[T]:
        """Run a job on the loop; if that hangs, no more is done on it."""
        if self._loop.hangs:
            job.close()
            return Outcome(hangs=True)
        return self._loop.run(job, self._options.seconds * _BOUNDS + _SLACK)

    # --------------------------------------------------------- what blocks the loop

    def _on_block(self, block: Block) -> None:
        """Note a place that has blocked the loop twice; called in the watchdog's thread."""
        place, request = block.stack.place, self._current
        if any(each.file.startswith("<frozen importlib") for each in block.stack.places):
            return
        if self._blocks.setdefault(place, request) != request:
            self._findings.add("blocks-loop", place)

    def _audit(self, event: str, arguments: tuple[Any, ...], frame: FrameType) -> None:
        """Note a call that waits, in the thread of the loop."""
        sleeps = event == "time.sleep" and arguments and arguments[0] > 0
        if sleeps or (event == "socket.connect" and _waits(arguments[0])):
            place = own_place_of_frame(frame)
            if place is not None:
                self._findings.add("blocks-loop", place)


def _waits(socket: Any) -> bool:
    try:
        return bool(socket.gettimeout() != 0)
    except Exception:
        return False
