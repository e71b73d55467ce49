"""Answers compared and written down by a thread of their own, for which nobody waits (M10-M12).

It runs at the lowest priority that the system has for it, and rests three times as long as a
comparison has taken: Python runs one thread at a time, and what it does here clients wait for.
"""

from __future__ import annotations

import atexit
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import thread_time, time
from typing import Any, Final

from bridge.cutover.shadow.compare import Comparison, compare
from bridge.cutover.shadow.copying.counts import FAILED, REASONS, Counts
from bridge.cutover.shadow.copying.settings import RouteShadow, Shadow
from bridge.cutover.shadow.noise import Noise
from bridge.cutover.shadow.records import RecordedRequest, RecordedResponse
from bridge.cutover.shadow.report import lines
from bridge.cutover.shadow.report.file import BoundedFile
from bridge.cutover.shadow.report.lines import DIFFERENT, EQUAL
from bridge.log import logger

#: The most answers that wait to be compared.
MOST_WAITING: Final = 64
#: Seconds after which the report tells what was dropped.
EACH: Final = 2.0
#: Seconds that the end of a process waits for what is not compared yet.
PATIENCE: Final = 2.0
#: The most that a compressed body may become here: to read it holds up all other threads.
MOST_DECODED: Final = 1024 * 1024
_REST: Final = 3.0
_NICE: Final = 10


@dataclass(frozen=True)
class Answers:
    """What is to be compared: one request and its answers. `failure`: why `new` is None.

    `again` is the old app's second answer. `forget` is called when all is done.
    """

    route: str
    settings: RouteShadow
    request: RecordedRequest
    old: RecordedResponse
    new: RecordedResponse | None
    again: RecordedResponse | None
    failure: str
    forget: Callable[[], object]


class Comparer:
    """Compares, counts, and writes to `file` if there is one. Its thread begins when it must."""

    def __init__(self, settings: Shadow, counts: Counts, file: BoundedFile | None) -> None:
        self.counts = counts
        self.file = file
        self._fields = settings.fields
        self._noise = Noise()
        self._told: set[str] = set()
        self._lock = threading.Lock()
        self._process = 0
        self._thread: threading.Thread | None = None
        self._queue: queue.Queue[Answers | None] = queue.Queue(MOST_WAITING)
        #: There is no time to rest.
        self._hurry = threading.Event()

    @property
    def is_running(self) -> bool:
        """Whether its thread runs, in this process."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Have the thread run, if it does not run in this process."""
        if self.is_running and self._process == os.getpid():
            return
        with self._lock:
            if self.is_running and self._process == os.getpid():
                return
            self._process = os.getpid()
            self._queue = queue.Queue(MOST_WAITING)
            self._hurry.clear()
            self._thread = threading.Thread(
                target=self._run, args=(self._queue,), name="bridge-shadow", daemon=True
            )
            self._thread.start()
        atexit.unregister(self.close)
        atexit.register(self.close)

    def put(self, answers: Answers) -> None:
        """Have these compared soon; if too many wait, they are dropped."""
        self.start()
        try:
            self._queue.put_nowait(answers)
        except queue.Full:
            self.counts.drop(answers.route, "busy")
            answers.forget()

    def close(self, patience: float = PATIENCE) -> None:
        """Wait until all is compared and written, at most `patience` seconds."""
        thread, self._thread = self._thread, None
        if thread is None or self._process != os.getpid():
            return
        self._hurry.set()
        try:
            self._queue.put(None, timeout=patience)
        except queue.Full:
            return
        thread.join(patience)

    # --------------------------------------------------------- in the thread

    def _run(self, waiting: queue.Queue[Answers | None]) -> None:
        _be_nice()
        goes_on = True
        while goes_on:
            started = thread_time()
            try:
                goes_on = self._take_one(waiting)
                if not goes_on or waiting.empty():
                    self._tell_dropped()
            except Exception:  # a bug here; nobody else would begin this thread again
                logger.exception("the thread that compares copies goes on after an error")
            self._hurry.wait(_REST * (thread_time() - started))

    def _take_one(self, waiting: queue.Queue[Answers | None]) -> bool:
        """Compare what comes next, if something does; whether there may be more."""
        try:
            answers = waiting.get(timeout=EACH)
        except queue.Empty:
            return True
        if answers is None:
            return False
        try:
            self._compare(answers)
        except Exception:  # a bug here, or a body that nobody thought of
            self.counts.note(answers.route, FAILED)
            logger.exception("the answers to a copy of route %s were not compared", answers.route)
        finally:
            answers.forget()
        return True

    def _compare(self, answers: Answers) -> None:
        route, request, settings = answers.route, answers.request, answers.settings
        old, new = answers.old, answers.new
        assert settings.rules is not None
        rules = settings.rules.rules_for(route, request.path)
        noise = self._noise.of(route)
        if answers.again is not None:
            twice = compare(
                request, old, answers.again, rules, fields=self._fields, most_decoded=MOST_DECODED
            )
            noise = self._noise.learn(route, twice)
        if new is None:
            self.counts.note(route, FAILED)
            self._write(lines.not_compared(time(), route, request, answers.failure, lines.ERROR))
            return
        if old.status == 304 != new.status:
            self.counts.drop(route, "not-modified")
            return
        found = compare(request, old, new, rules, noise, self._fields, MOST_DECODED)
        self.counts.note(route, EQUAL if found.equal else DIFFERENT)
        self._tell_first(route, found)
        self._write(lines.compared(time(), route, request, old, new, found))

    def _tell_first(self, route: str, found: Comparison) -> None:
        """Say in the log that something differs: once for each route."""
        if found.differences and route not in self._told:
            self._told.add(route)
            first = found.differences[0]
            logger.warning(
                "route %s: old and new have answered differently, in %s (%s); %s",
                *(route, first.place, first.kind),
                "the report has all of it" if self.file else "name a report to see all of it",
            )

    def _tell_dropped(self) -> None:
        for (route, reason), count in self.counts.take_dropped().items():
            self._write(lines.dropped(time(), route, REASONS[reason], count))

    def _write(self, entry: dict[str, Any]) -> None:
        if self.file is not None:
            self.file.write(lines.line_of(entry))


def _be_nice() -> None:
    """Let all other threads go first, where threads have priorities of their own."""
    try:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
    except (AttributeError, OSError):
        pass
