"""Send the requests to a WSGI app, in two threads, as a pool of threads would; note what comes.

Two threads, since what an app keeps in one is not in the other.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import FrameType, ModuleType
from typing import Any, Final

from bridge.check.answers import Answer, judge, note_stream, shown
from bridge.check.catalogue.of_answers import WSGI_STREAM
from bridge.check.driving import Drive
from bridge.check.findings import Findings
from bridge.check.places import own_place_of_frame, place_of_error
from bridge.check.requests import Options, Request
from bridge.check.watching.audit import watching
from bridge.check.watching.bounded import Worker, run_here
from bridge.check.watching.logs import Logs
from bridge.check.wsgi.call import Call, validated
from bridge.check.wsgi.inside import check_close
from bridge.check.wsgi.shared import is_thread_bound, look_at_connections
from bridge.check.wsgi.state import ThreadState
from bridge.types import WSGIApp

#: What is told by itself, and makes the validator object, too.
_TOLD: Final = ("str-body", "start-twice", "no-start", "illegal-head", "lenient-head", "raises")
#: What the validator wants, and HTTP does not.
_NOT_WANTED: Final = ("No Content-Type header found",)


class WsgiDrive(Drive):
    """Drives one WSGI app."""

    def __init__(
        self,
        app: WSGIApp,
        options: Options,
        findings: Findings,
        logs: Logs,
        modules: Sequence[ModuleType] = (),
        root_path: str = "",
    ) -> None:
        super().__init__(options, findings, logs, root_path)
        self._app = app
        self._state = ThreadState(modules, findings)
        held = Findings()
        look_at_connections(modules, held)
        #: Whether a 5xx may come of a connection that serves one thread, though no log says so.
        self._shares = "shared-connection" in held
        self._workers = [Worker(), Worker()]

    def run(self) -> None:
        """Send everything that may be sent."""
        self._send_requests()
        self._compare_bodies()
        if not self._gave_up:
            self._validate()
        for worker in self._workers:
            worker.close()

    def _send(self, request: Request) -> Answer:
        number = request.about == "again"
        if self._workers[number].hangs:
            self._workers[number] = Worker()
        seconds = self._options.seconds
        call = Call(self._app, request, self._findings, self._root_path)
        outcome = self._workers[number].run(
            lambda: self._call(call), seconds, lambda: call.answer.size > 0
        )
        answer = outcome.value or Answer(request, hangs=not call.answer.size)
        if outcome.hangs and call.answer.size:  # a stream, of which nothing comes for a while
            note_stream(answer, "its first piece", WSGI_STREAM, self._findings)
        elif outcome.hangs:
            self._findings.add_once(
                0, "hangs", outcome.place, request=request.where, seconds=seconds
            )
        logged = self._logs.take()
        error = answer.error or logged
        if is_thread_bound(error) or (self._shares and error is None and answer.status >= 500):
            answer, logged = self._tried_here(request, answer, error)
        judge(answer, logged, self._findings)
        return answer

    def _tried_here(
        self, request: Request, failed: Answer, error: BaseException | None
    ) -> tuple[Answer, BaseException | None]:
        """Send a request again in this thread, which has imported the app; return what counts."""
        call = Call(self._app, request, Findings(), self._root_path)
        answer = run_here(lambda: self._call(call), self._options.seconds).value
        logged = self._logs.take()
        if answer is None:
            return failed, error
        if answer.error is None and 0 < answer.status < 500:
            why = (
                shown(error).partition(". ")[0]
                if error is not None
                else f"it is answered {failed.status}"
            )
            place = place_of_error(error) if error is not None else None
            about = {"request": request.where, "error": why}
            self._findings.add_once(place or why, "thread-bound", place, **about)
        return answer, logged

    def _call(self, call: Call) -> Answer:
        """Run one request; in a thread of ours."""
        self._state.before()
        with watching(self._audit):
            answer = call()
        self._state.after()
        return answer

    def _audit(self, event: str, arguments: tuple[Any, ...], frame: FrameType) -> None:
        if event == "time.sleep" and arguments and arguments[0] > 0:
            self._findings.add("waits", own_place_of_frame(frame), what="time.sleep()")
        elif event == "socket.connect":
            what = "a connection to another server"
            self._findings.add("waits", own_place_of_frame(frame), what=what)
        elif event == "sqlite3.connect":
            self._findings.add("c-driver", own_place_of_frame(frame), library="sqlite3")

    def _compare_bodies(self) -> None:
        """Note if a body is read with a length only."""
        by_path: dict[str, dict[str, Answer]] = {}
        for each in self.answers:
            by_path.setdefault(each.request.path, {})[each.request.about] = each
        for answers in by_path.values():
            json, chunks = answers.get("JSON"), answers.get("chunks")
            read = [each is not None and each.body_was_read for each in (json, chunks)]
            if chunks is not None and read == [True, False]:
                self._findings.add("needs-length")

    # --------------------------------------------------------- validators

    def _validate(self) -> None:
        """Send one GET to each path once more, through `wsgiref.validate`; look who closes."""
        for path in self._options.paths:
            if path in self.streams:
                continue
            request = Request("GET", path, "validated", fields=self._options.fields)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._validate_one(request)
            check_close(self._app, lambda: self._quietly(self._app, request), self._findings)  # noqa: B023
        self._logs.take()

    def _validate_one(self, request: Request) -> None:
        answer = self._quietly(validated(self._app), request)
        said = str(answer.error) if isinstance(answer.error, AssertionError) else ""
        is_known = any(id in self._findings for id in _TOLD)
        if said and not is_known and not any(each in said for each in _NOT_WANTED):
            self._findings.add("validator", what=" ".join(said.split())[:200])

    def _quietly(self, app: WSGIApp, request: Request) -> Answer:
        """Run one request whose findings are known already."""
        call = Call(app, request, Findings(), self._root_path)
        outcome = self._workers[0].run(call, self._options.seconds)
        return outcome.value or Answer(request, hangs=True)
