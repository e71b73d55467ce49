"""Run tests in several processes, which are forked when all tests have been read.

To read ten thousand tests takes seconds of computing, here once and not in each process. A file
goes to one process whole, so what it starts is started once; the processes take one file after the
other, those first that took longest the last time. Reports come back by pipes, and the rest of
pytest sees them as if the tests had run here.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import pytest

#: The plugin's name in pytest.
NAME = "bridge-forks"
#: Where pytest's cache has how long each file took, in seconds.
_SECONDS = "bridge/seconds"
#: Bytes of a file's number in the queue.
_NUMBER = 2
#: Seconds that a process has to end what its tests have started, when the run is broken off.
_LAST_SECONDS = 20.0


class Forks:
    """The pytest plugin; ``tell()`` is called each `pace` seconds while tests run."""

    def __init__(self, processes: int, pace: float, tell: Callable[[], None]) -> None:
        self._processes = processes
        self._pace = pace
        self._tell = tell
        #: Pipe -> the process at its other end, while its tests run.
        self._running: dict[Connection, _Process] = {}
        #: File -> how long its tests have taken.
        self._seconds: Counter[str] = Counter()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Begin with what takes longest, so that no process waits for another at the end."""
        known = _known(config)
        items.sort(key=lambda item: -known.get(_file(item.nodeid), 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run the tests; None has pytest say what is wrong with them."""
        if session.testsfailed or session.config.option.collectonly:
            return None
        files = [[*items] for _, items in itertools.groupby(session.items, lambda item: item.path)]
        queue = _filled(len(files))
        try:
            for number in range(min(self._processes, len(files))):
                self._fork(number, session, files, queue)
            self._listen(session)
        finally:
            os.close(queue)
            self._end()
            known = {**_known(session.config), **self._seconds}
            if cache := _cache(session.config):
                cache.set(_SECONDS, known)
        return True

    def _fork(
        self, number: int, session: pytest.Session, files: list[list[pytest.Item]], queue: int
    ) -> None:
        ours, theirs = Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for other in (*self._running, ours):
                other.close()
            run_here(number, session, _taken(files, queue), theirs)
        theirs.close()
        self._running[ours] = _Process(pid)

    def _listen(self, session: pytest.Session) -> None:
        """Hand on what the processes tell, until all have ended."""
        told = time.monotonic()
        while self._running:
            for pipe in wait([*self._running], self._pace):
                assert isinstance(pipe, Connection)
                self._take(session, pipe)
            if time.monotonic() - told >= self._pace:
                told = time.monotonic()
                self._tell()

    def _take(self, session: pytest.Session, pipe: Connection) -> None:
        hook, process = session.config.hook, self._running[pipe]
        try:
            kind, *given = pipe.recv()
        except EOFError:  # it has crashed
            kind, given = "broken", ["the process has ended in the middle of this test"]
        if kind == "start":
            process.test = given
        elif kind == "report":
            data = given[0]
            report = hook.pytest_report_from_serializable(config=session.config, data=data)
            self._seconds[_file(report.nodeid)] += report.duration
            hook.pytest_runtest_logreport(report=report)
        elif kind == "finish":
            nodeid, location = given
            hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
        else:
            if kind == "broken":
                hook.pytest_runtest_logreport(report=process.broken(*given))
            del self._running[pipe]
            pipe.close()
            os.waitpid(process.pid, 0)

    def _end(self) -> None:
        """End the processes that still run: the run is broken off."""
        for process in self._running.values():
            os.kill(process.pid, signal.SIGINT)
        deadline = time.monotonic() + _LAST_SECONDS
        for pipe, process in self._running.items():
            while pipe.poll(max(0, deadline - time.monotonic())):
                try:
                    pipe.recv()
                except EOFError:
                    break
            os.kill(process.pid, signal.SIGKILL)
            os.waitpid(process.pid, 0)
            pipe.close()


class _Process:
    """A process that runs tests, and the test that it runs now."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.test: list[Any] = ["no test", ("", None, "")]

    def broken(self, text: str) -> pytest.TestReport:
        """The report of its last test, in which it has ended, or at whose end."""
        nodeid, location = self.test
        return pytest.TestReport(nodeid, location, {}, "failed", text, "call")


def _cache(config: pytest.Config) -> pytest.Cache | None:
    return getattr(config, "cache", None)  # there is none with -p no:cacheprovider


def _known(config: pytest.Config) -> dict[str, float]:
    """How long each file took the last time; empty if that is not known."""
    cache = _cache(config)
    known: dict[str, float] = cache.get(_SECONDS, {}) if cache else {}
    return known


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _filled(files: int) -> int:
    """A pipe with the numbers of all files: each process reads one when it needs one."""
    reader, writer = os.pipe()
    os.write(writer, b"".join(number.to_bytes(_NUMBER, "big") for number in range(files)))
    os.close(writer)
    return reader


def _taken(files: list[list[pytest.Item]], queue: int) -> Iterator[list[pytest.Item]]:
    while number := os.read(queue, _NUMBER):
        yield files[int.from_bytes(number, "big")]


# ------------------------------------------------------------- in a process that was forked


def run_here(
    number: int, session: pytest.Session, files: Iterator[list[pytest.Item]], pipe: Connection
) -> None:
    """Run files of tests, and end this process."""
    # As pytest-xdist says it: by this name tests choose ports that no other process uses.
    os.environ["PYTEST_XDIST_WORKER"] = f"gw{number}"
    plugins, code = session.config.pluginmanager, 0
    # pytest-timeout writes where the reporter does.
    terminal = plugins.unregister(name="terminalreporter")
    plugins.unregister(name=NAME)
    plugins.register(_Stand(terminal), "terminalreporter")
    plugins.register(_Teller(session.config, pipe))
    capture = plugins.getplugin("capturemanager")
    capture.stop_global_capturing()  # into a file that is that of all processes
    capture.start_global_capturing()
    capture.suspend_global_capture()
    try:
        for items in files:
            for item, following in itertools.pairwise([*items, session]):
                # The session as what is next: what is for one file ends with it.
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        session._setupstate.teardown_exact(None)
        pipe.send(["end"])
    except BaseException:
        code = 1
        pipe.send(["broken", traceback.format_exc()])
        with contextlib.suppress(BaseException):
            session._setupstate.teardown_exact(None)
    finally:
        os._exit(code)


class _Stand:
    """What is there in place of pytest's reporter."""

    def __init__(self, reporter: Any) -> None:
        self._tw = reporter._tw


class _Teller:
    """The pytest plugin that sends reports to the process that was forked."""

    def __init__(self, config: pytest.Config, pipe: Connection) -> None:
        self._config = config
        self._pipe = pipe

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        """A test begins."""
        self._pipe.send(["start", nodeid, location])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has passed a stage."""
        hook = self._config.hook
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        self._pipe.send(["report", data])

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        """A test has ended."""
        self._pipe.send(["finish", nodeid, location])
