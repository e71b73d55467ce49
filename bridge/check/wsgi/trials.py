"""The same requests under each runner: whether the answers are the same, and what blocks there.

What was answered before, in plain threads, is what is expected. Greenlets with ``--patch`` come
last: patching changes the process for good, which it does only if `patches` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.asgi.lifespan import Lifespan
from bridge.check.answers import Answer, shown
from bridge.check.asgi.call import Call
from bridge.check.catalogue.entry import GREENLET, INLINE, PATCHED, THREAD
from bridge.check.findings import Findings
from bridge.check.requests import Options, Request
from bridge.check.watching.bounded import Loop
from bridge.errors import ConfigError
from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.stack import Place
from bridge.runners.patching.patch import greenlet_patch
from bridge.types import WSGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi

_RUNNERS: Final = ((THREAD, "thread"), (GREENLET, "greenlet"), (INLINE, "inline"))
#: Each request is sent so often: what blocks once may be an import.
_TIMES: Final = 2


def try_runners(
    app: WSGIApp,
    answers: Sequence[Answer],
    options: Options,
    findings: Findings,
    root_path: str = "",
) -> None:
    """Send the GETs of `answers` that were answered well to `app` under each runner."""
    expected = [each for each in answers if _is_good(each) and each.request.method == "GET"]
    requests = {each.request.path: each for each in expected if not each.request.about}
    for path in (options.missing, *(each.request.path for each in answers if each.streams)):
        requests.pop(path, None)
    for way, runner in _RUNNERS:
        _Trial(app, way, runner, options.seconds, findings, root_path).run([*requests.values()])
    if options.patches:
        try:
            greenlet_patch()
        except ConfigError:
            return  # the runner is not there, and a server says so
        _Trial(app, PATCHED, "greenlet", options.seconds, findings, root_path).run(
            [*requests.values()]
        )


def _is_good(answer: Answer) -> bool:
    is_whole = answer.error is None and not answer.hangs and not answer.streams
    return is_whole and 0 < answer.status < 500


class _Trial:
    """The app under one runner, in `WsgiToAsgi`."""

    def __init__(
        self,
        app: WSGIApp,
        way: str,
        runner: str,
        seconds: float,
        findings: Findings,
        root_path: str,
    ) -> None:
        self._app = WsgiToAsgi(app, kind="wsgi", runner=runner, threads=2)
        self._way = way
        self._seconds = seconds
        self._findings = findings
        self._root_path = root_path
        self._current = ""
        self._blocks: dict[Place, str] = {}

    def run(self, expected: Sequence[Answer]) -> None:
        """Send the request of each answer, and compare."""
        loop = Loop(self._on_block, lambda *event: None)
        lifespan = Lifespan(self._app)
        loop.run(lifespan.startup(), self._seconds)
        for each in expected:
            for number in range(_TIMES):
                self._current = f"{each.request.where} {number}"
                if not loop.hangs:
                    self._compare(loop, each)
        if not loop.hangs:
            loop.run(lifespan.shutdown(), self._seconds)
        loop.close()

    def _compare(self, loop: Loop, expected: Answer) -> None:
        outcome = loop.run(self._send(expected.request), self._seconds * 3)
        answer = outcome.value or Answer(expected.request, hangs=True, place=outcome.place)
        what = ""
        if answer.hangs:
            what = "is not answered in time"
        elif answer.error is not None:
            what = f"raises {shown(answer.error)}"
        elif answer.status != expected.status:
            what = f"is answered {answer.status}, and {expected.status} in a plain thread"
        if what:
            about = {"way": self._way, "request": expected.request.where, "what": what}
            self._findings.add_once((self._way, what), "trial-differs", answer.place, **about)

    async def _send(self, request: Request) -> Answer:
        return await Call(self._app, request, Findings(), self._root_path)(self._seconds)

    def _on_block(self, block: Block) -> None:
        """Note what blocks patched greenlets again and again; called in the watchdog's thread."""
        place, request = block.stack.place, self._current
        if self._blocks.setdefault(place, request) != request and self._way == PATCHED:
            self._findings.add("trial-blocks", place, way=self._way)
