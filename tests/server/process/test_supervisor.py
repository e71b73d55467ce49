"""The supervisor as a process of its own, with real processes as workers that only stand in."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.server.config.config import Config
from bridge.server.process.fleet.members import Fork, Member
from bridge.server.process.supervisor import Supervisor
from bridge.server.process.worker import run_worker
from tests.support import hosts
from tests.support.processes import children
from tests.support.waiting import eventually

#: Seconds in which whatever a test waits for must have happened; a loaded machine is slow.
PATIENCE = 60


class Supervised:
    """A supervisor that runs, its log, and the workers that answer."""

    def __init__(self, folder: Path, workers: int, environ: dict[str, str]) -> None:
        self.kind = folder / "kind"
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.supervised", str(self.kind), str(workers)],
                cwd=hosts.ROOT,
                env={**os.environ, **environ},
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, happened: Callable[[], object], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < end, f"{what}:\n{self.log}"
            time.sleep(0.02)

    def wait_for_line(self, text: str, times: int = 1) -> None:
        """Wait until `text` is so often in the log."""
        self.wait_for(lambda: self.log.count(text) >= times, f"no line {text!r}")

    @property
    def port(self) -> int:
        self.wait_for_line("running on")
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", self.log)
        assert found is not None
        return int(found[1])

    def answer(self) -> tuple[int, int]:
        """The pid and the slot of the worker that answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as sock:
            pid, slot = sock.recv(100).split()
        return int(pid), int(slot)

    def children(self) -> set[int]:
        """Its workers: not the stranger that it begins with (`tests.support.supervised`)."""
        return {each for each in children(self.process.pid) if is_python(each)}

    def wait_for_children(self, number: int) -> set[int]:
        self.wait_for(lambda: len(self.children()) == number, f"not {number} workers")
        return self.children()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(PATIENCE)


def is_python(pid: int) -> bool:
    try:
        return "python" in Path(f"/proc/{pid}/comm").read_text()
    except OSError:  # it has ended
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    """Start a supervisor whose workers are of this kind."""
    started: list[Supervised] = []

    def start(
        workers: int = 2, kind: str = "serve", environ: dict[str, str] | None = None
    ) -> Supervised:
        (tmp_path / "kind").write_text(kind)
        started.append(Supervised(tmp_path, workers, environ or {}))
        return started[-1]

    yield start
    for each in started:
        each.signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            each.process.wait(30)
        workers = each.children() if each.process.poll() is None else set()
        each.process.kill()
        each.process.wait()
        for pid in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


Start = Callable[..., Supervised]


def test_workers_serve_until_the_supervisor_is_told_to_stop(start: Start) -> None:
    """P1, P2: each has a slot; at SIGTERM all go, and the code is 0."""
    server = start(2)
    assert server.answer()[0] in server.wait_for_children(2)
    assert "serving a stand-in" in server.log
    assert server.answer()[1] in (0, 1)
    server.signal(signal.SIGTERM)
    assert server.end() == 0
    assert server.log.endswith(f" [{server.process.pid}] INFO: stopped\n")
    with pytest.raises(ConnectionRefusedError):
        server.answer()


def test_a_worker_that_is_killed_is_replaced(start: Start) -> None:
    """P1: the log says what has happened to which, and what is done."""
    server = start(2)
    server.wait_for_line("serves (2 of 2)")
    victim, _ = server.answer()
    os.kill(victim, signal.SIGKILL)
    server.wait_for_line(f"worker {victim}: was killed by SIGKILL")
    server.wait_for(lambda: len(server.children() - {victim}) == 2, "it was not replaced")
    assert server.answer()[0] in server.children()


@pytest.mark.parametrize(("kind", "code"), [("fail", 3)])
def test_an_app_that_cannot_start(start: Start, kind: str, code: int) -> None:
    """P1: the server ends with the code of the worker, which has said why; no line follows."""
    server = start(3, kind)
    assert server.end() == code
    assert "ERROR" not in server.log


def test_a_first_worker_that_crashes_is_started_again(start: Start) -> None:
    """P1: ever later; an order to stop ends it all the same."""
    server = start(2, "crash")
    server.wait_for_line("was killed by SIGSEGV before it had started; starting another in 1 s")
    server.signal(signal.SIGTERM)
    assert server.end() == 0


def test_a_reload_makes_new_workers(start: Start) -> None:
    """P3: all old ones go, and the new ones have the same socket."""
    server = start(2)
    server.answer()
    old = server.wait_for_children(2)
    server.signal(signal.SIGHUP)
    server.wait_for_line("reloaded: 2 new workers")
    server.wait_for(lambda: not server.children() & old, "old workers stay")
    assert server.answer()[0] in server.children()


def test_a_reload_that_fails_changes_nothing(start: Start) -> None:
    """P3: the old workers serve on, and one line says why."""
    server = start(2)
    server.wait_for_line("serves (2 of 2)")  # both have read their kind
    old = server.wait_for_children(2)
    server.kind.write_text("fail")
    server.signal(signal.SIGHUP)
    server.wait_for_line("the reload was given up, and the old workers serve on")
    assert "no database" in server.log
    assert server.answer()[0] in old
    # While one of them ends, the system may not tell of all.
    server.wait_for(lambda: server.children() >= old, "an old worker is gone")


def test_a_reload_during_a_reload(start: Start) -> None:
    """P3: a new version that hangs while it starts is given up for a newer one."""
    server = start(1)
    server.answer()
    server.kind.write_text("hang")
    server.signal(signal.SIGHUP)
    server.wait_for_line("is there, in slot 1")  # it has read its kind
    server.kind.write_text("serve")
    server.signal(signal.SIGHUP)
    server.wait_for_line("reloaded: 1 new worker")
    server.wait_for_children(1)
    assert "the reload was given up, and the old workers serve on: another one" in server.log


def test_a_stop_during_a_reload(start: Start) -> None:
    """P2: nothing of it is left."""
    server = start(2)
    server.wait_for_line("serves (2 of 2)")
    server.kind.write_text("hang")
    server.signal(signal.SIGHUP)
    pids = server.wait_for_children(3)
    server.signal(signal.SIGTERM)
    assert server.end() == 0
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def test_the_number_of_workers_changes_by_signals(start: Start) -> None:
    """P5: TTIN and TTOU; one worker is the least."""
    server = start(1)
    server.answer()
    server.signal(signal.SIGTTIN)
    server.wait_for_children(2)
    server.signal(signal.SIGTTOU)
    server.wait_for_children(1)
    server.signal(signal.SIGTTOU)
    server.wait_for_line("SIGTTOU: one worker is the least")
    assert len(server.children()) == 1


def test_signals_for_all_workers(start: Start) -> None:
    """P5: log files and figures."""
    server = start(2)
    pids = server.wait_for_children(2)
    for pid in pids:
        server.wait_for_line(f"{pid} was told serve")
    server.signal(signal.SIGUSR1)
    server.signal(signal.SIGUSR2)
    for pid in pids:
        server.wait_for_line(f"{pid} was told reopen-logs")
        server.wait_for_line(f"{pid} was told stats")


def test_a_worker_that_stands_still_is_killed(start: Start) -> None:
    """P6: one that is stopped says nothing."""
    server = start(2)
    victim = server.answer()[0]
    os.kill(victim, signal.SIGSTOP)
    server.wait_for_line(f"worker {victim} is blocked")
    server.wait_for(lambda: len(server.children() - {victim}) == 2, "it was not replaced")


@pytest.mark.parametrize("kind", ["serve", "deaf"])
def test_a_second_sigint_ends_it_at_once(start: Start, kind: str) -> None:
    """P2: whatever the workers do."""
    server = start(2, kind)
    if kind == "deaf":
        server.wait_for_line("is deaf")
    pids = server.wait_for_children(2 if kind == "serve" else 1)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    server.signal(signal.SIGINT)
    time.sleep(0.1)  # else both are one signal
    server.signal(signal.SIGINT)
    assert server.end() == 130
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


def test_what_workers_say_may_be_nonsense(start: Start) -> None:
    """P1: the supervisor goes on."""
    server = start(2, "babble")
    server.wait_for_line("serves (2 of 2)")
    assert "said what cannot be understood" in server.log
    assert server.answer()[0] in server.children()


def test_a_system_that_refuses_to_fork(start: Start) -> None:
    """P1: that is told, and it is tried again, later and later; a stop is heeded meanwhile."""
    server = start(2, environ={"REFUSE_FORK": "yes"})
    server.wait_for_line("cannot start a worker: [Errno 11] no more processes; next try in 1 s")
    server.signal(signal.SIGTERM)
    assert server.end() == 0


def test_the_number_of_workers_and_logs(start: Start) -> None:
    """P5: SIGUSR2 logs where each worker stands, also one that only stands in."""
    server = start(1)
    server.answer()
    server.signal(signal.SIGUSR2)
    server.wait_for_line("stands here:")
    assert "_serve" in server.log


def test_a_reload_that_is_given_up_at_once_forks_nothing_more(start: Start) -> None:
    """P3: a stop that comes with it; both signals are there before the supervisor goes on."""
    server = start(1)
    server.answer()
    server.signal(signal.SIGSTOP)
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGCONT)
    assert server.end() == 0
    assert server.log.count("is there") == 1


def test_workers_that_die_together(start: Start) -> None:
    """P3: one that is to be told that another has died is gone itself; its pid is left alone."""
    server = start(1, "hang 3")
    server.answer()
    server.signal(signal.SIGTTIN)
    server.wait_for_line("serves (2 of 2)")
    server.signal(signal.SIGHUP)
    server.wait_for_line("in slot 3")
    pids = [int(each) for each in re.findall(r"(\d+) is there, in slot [23]", server.log)]
    assert len(pids) == 2
    server.signal(signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    server.signal(signal.SIGCONT)
    server.wait_for_line("the reload was given up, and the old workers serve on")
    assert server.answer()[0] in server.wait_for_children(2)


def test_more_orders_to_stop_change_nothing(start: Start) -> None:
    """P2: a second SIGTERM, and a reload while workers finish what they do."""
    server = start(1, "deaf 1")
    server.answer()
    server.signal(signal.SIGHUP)
    server.wait_for_line("it is deaf")
    server.signal(signal.SIGTERM)
    server.wait_for_line("the reload was given up")
    server.signal(signal.SIGTERM)
    server.signal(signal.SIGHUP)
    server.wait_for_line("no reload, the workers stay as they are: the server stops")
    server.wait_for_line("has not ended in time: killing it")
    assert server.end() == 0


def test_a_stop_is_announced(start: Start) -> None:
    """O1: for `drain_delay` the workers serve on."""
    server = start(1, environ={"DRAIN_DELAY": "0.5"})
    server.answer()
    server.signal(signal.SIGTERM)
    server.wait_for_line("it stops in 0.5 s")
    server.answer()
    assert server.end() == 0
    assert "was told drain" in server.log


def test_what_goes_wrong_in_the_supervisor_does_not_end_it(start: Start) -> None:
    """P1: it is logged, and the next thing is done."""
    server = start(2, environ={"BROKEN": "yes"})
    server.wait_for_line("serves (2 of 2)")
    os.kill(min(server.children()), signal.SIGKILL)
    server.wait_for_line("the supervisor could not do this: Gone(")
    server.wait_for_line("serves (2 of 2)", 2)


def test_the_terminal_is_closed(tmp_path: Path) -> None:
    """P2: SIGHUP means something else then."""
    (tmp_path / "kind").write_text("serve")
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "tests.support.supervised", str(tmp_path / "kind"), "1"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=hosts.ROOT,
            stdin=end,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: (os.setsid(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)),
        )
    os.close(end)
    eventually(lambda: "serves (1 of 1)" in (tmp_path / "log").read_text(), PATIENCE)
    os.close(terminal)
    assert process.wait(PATIENCE) == 0
    assert "the terminal was closed: stopping" in (tmp_path / "log").read_text()


def test_a_worker_that_dies_before_it_is_killed(start: Start) -> None:
    """P6: its pid is left alone, for it may be another's by then."""
    server = start(2)
    victim = server.answer()[0]
    os.kill(victim, signal.SIGSTOP)
    server.wait_for_line(f"worker {victim} is blocked")
    os.kill(victim, signal.SIGKILL)
    server.wait_for(lambda: len(server.children() - {victim}) == 2, "it was not replaced")


def test_the_memory_of_workers_is_measured(start: Start) -> None:
    """P4: once a second."""
    server = start(1, environ={"MAX_RSS": "1M"})
    server.wait_for_line("is to be replaced (max_rss: ")
    server.wait_for_line("serves (1 of 1)", 2)


# ------------------------------------------------------------- workers that templates fork


@contextlib.contextmanager
def idling() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands in for a worker."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_what_comes_of_an_order_to_a_template() -> None:
    """P11: a worker that is not wanted any more is killed, one that is to stop is told so."""
    supervisor = Supervisor(Config(app=print, preload=True), run_worker)
    fleet = supervisor.fleet
    fleet.start(0.0)
    [member] = [each.member for each in fleet.take_actions() if isinstance(each, Fork)]
    with idling() as stranger:
        supervisor._forked(Member(9, 1, 0.0), stranger.pid, "")
        assert stranger.wait(60) == -signal.SIGKILL
    with idling() as worker:
        supervisor._forked(member, worker.pid, "")
        assert member.pid == worker.pid
        assert worker.poll() is None
        member.told_to_stop = True
        supervisor._forked(member, worker.pid, "")
        assert worker.wait(60) == -signal.SIGTERM
    supervisor._forked(member, 0, "no more processes")
    assert not [*fleet.roster]
    supervisor._forking.close()
