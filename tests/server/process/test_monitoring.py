"""What monitors and systemd are told of several workers: by the supervisor alone (O1, O2, O4)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.server.config.config import Config
from bridge.server.metrics.snapshot import COUNTER, GAUGE, Family, Snapshot
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import Fork, Gone, Member
from bridge.server.process.monitoring import Monitoring
from tests.support.hosts import ADDRESS, Command, Host, free_port, start
from tests.support.processes import children
from tests.support.systemd import Systemd
from tests.support.waiting import eventually


class Workers:
    """A fleet whose workers do what the test says, and what is told of it."""

    def __init__(self, wanted: int = 2, **settings: Any) -> None:
        self.config = Config(app="shop:app", workers=wanted, **settings)
        self.fleet = Fleet(self.config, lambda most: 0)
        self.monitoring = Monitoring(self.fleet)
        self.now = 0.0
        self._pid = 100

    def settle(self) -> None:
        """Carry out what the fleet wants: workers that are forked start at once."""
        while actions := self.fleet.take_actions():
            for action in actions:
                self.monitoring.note(action)
                if isinstance(action, Fork):
                    self._pid += 1
                    self.fleet.forked(action.member, self._pid, self.now)
                    self.say(action.member, {"type": "started", "app": []})

    def say(self, member: Member, message: dict[str, Any]) -> None:
        self.fleet.receive(member, message, self.now)

    def begin(self) -> list[Member]:
        self.fleet.start(self.now)
        self.settle()
        return list(self.fleet.roster)

    def end(self, member: Member, code: int = 0) -> None:
        self.fleet.exited(member.pid, code, self.now)
        self.settle()

    def samples(self, name: str) -> dict[str, Any]:
        """The samples of a family: what its labels are -> value."""
        found = self.monitoring.figures()[name]["samples"]
        return {",".join(labels.values()): value for labels, value in found}


def counted(taken: int, rss: int) -> Snapshot:
    return {
        "taken_total": Family(type=COUNTER, help="", samples=[[{}, taken]]),
        "rss": Family(type=GAUGE, help="", samples=[[{}, rss]], per="worker"),
    }


def test_figures_of_all_workers() -> None:
    """O2: counters add up and never go back; gauges of a worker end with it."""
    workers = Workers()
    assert workers.samples("bridge_workers_wanted") == {"": 2}
    one, two = workers.begin()
    workers.say(one, {"type": "beat", "figures": counted(5, 100)})
    assert workers.samples("taken_total") == {"": 5}
    workers.say(two, {"type": "beat", "figures": counted(7, 200)})
    assert workers.samples("taken_total") == {"": 12}
    assert workers.samples("rss") == {str(one.slot): 100, str(two.slot): 200}
    workers.end(one, 1)
    assert workers.samples("taken_total") == {"": 12}
    assert workers.samples("rss") == {str(two.slot): 200}
    assert workers.samples("bridge_workers")["serving"] == 1


def test_why_workers_have_gone() -> None:
    """O2: by reason; whatever a worker says, there are no more reasons than a few."""
    workers = Workers()
    one, two = workers.begin()
    for why in ["max_requests: 500 requests served", "blocked", "crash", "x" * 1000, "y"]:
        workers.monitoring.note(Gone(one, why))
    workers.monitoring.note(Gone(two, "crash"))
    assert workers.samples("bridge_workers_gone_total") == {
        "blocked": 1, "crash": 2, "max_requests": 1, "other": 2,
    }  # fmt: skip


def test_the_status_line() -> None:
    """O4: how many serve, of how many, and what they have."""
    workers = Workers()
    assert workers.monitoring.status() == "starting: 0 of 2 workers, 0 connections"
    one, two = workers.begin()
    workers.say(one, {"type": "beat", "connections": 3})
    workers.say(two, {"type": "beat", "connections": 4})
    assert workers.monitoring.status() == "serving: 2 of 2 workers, 7 connections"
    workers.fleet.reload(workers.config, 0)
    assert workers.monitoring.status().startswith("reloading: 2 of 2 workers")


def test_what_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """O4: a reload is over when none is under way; after a stop has begun, there is none."""
    systemd = Systemd(f"{tmp_path}/notify")
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.address)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    workers = Workers()
    monitoring = workers.monitoring

    async def main() -> None:
        await monitoring.open(workers.config)
        workers.begin()
        assert systemd.hear() == "READY=1"
        assert systemd.hear().startswith("STATUS=")
        for _ in range(2):  # the second one ends the first
            monitoring.reloading()
            workers.fleet.reload(workers.config, 0)
            assert systemd.hear().startswith("RELOADING=1\n")
        workers.settle()
        assert systemd.hear_all() == ["READY=1"]
        monitoring.stopping()
        workers.fleet.stop(0)
        monitoring.reloading()
        monitoring.reloaded()
        assert systemd.hear_all() == ["STOPPING=1"]
        monitoring.close()

    asyncio.run(main())
    systemd.socket.close()


def test_before_it_is_opened() -> None:
    """O4: a start that fails before that has nothing to close."""
    workers = Workers()
    workers.begin()
    workers.monitoring.close()


# ------------------------------------------------------------- a real server

APP = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"yes"})
"""


@pytest.fixture
def server() -> Iterator[tuple[Host, Callable[[str], httpx.Response]]]:
    """Two workers; and what asks the port for monitors."""
    monitor = free_port()
    command = Command(
        "bridge",
        (
            *(sys.executable, "-m", "bridge", "serve", "shop:app", "--app-dir={folder}"),
            *(f"--host={ADDRESS}", "--port={port}", "--workers=2"),
            *(f"--metrics-bind={ADDRESS}:{monitor}", "--health-path=/health", "--drain-delay=60"),
        ),
        files={"shop.py": APP},
    )
    with start(command) as host:
        yield host, lambda path: httpx.get(f"http://{ADDRESS}:{monitor}{path}", timeout=60)
        host.kill()


def workers_of(host: Host) -> set[int]:
    return children(host.process.pid)


def test_while_all_workers_are_blocked(
    server: tuple[Host, Callable[[str], httpx.Response]],
) -> None:
    """O1 O2 P6: the port for monitors answers; one answer for all workers."""
    host, ask = server
    eventually(lambda: 'bridge_workers{state="serving"} 2' in ask("/metrics").text)
    for pid in workers_of(host):
        os.kill(int(pid), signal.SIGSTOP)  # so they do nothing at all
    assert ask("/live").status_code == 200
    assert ask("/ready").status_code == 200
    families = {each.name for each in text_string_to_metric_families(ask("/metrics").text)}
    assert "bridge_workers" in families
    for pid in workers_of(host):
        os.kill(int(pid), signal.SIGCONT)


def test_a_stop_is_seen_before_it_begins(
    server: tuple[Host, Callable[[str], httpx.Response]],
) -> None:
    """O1 P2: the port and each worker are red from SIGTERM on, and serve; SIGINT ends the wait."""
    host, ask = server
    eventually(lambda: ask("/ready").status_code == 200)
    assert httpx.get(host.url("/health")).status_code == 200
    for _ in range(2):
        host.process.send_signal(signal.SIGTERM)
        eventually(lambda: ask("/ready").text == "Service Unavailable: stopping\n")
        eventually(lambda: httpx.get(host.url("/health")).status_code == 503)
        assert httpx.get(host.url("/")).status_code == 200
        assert ask("/live").status_code == 200
    host.process.send_signal(signal.SIGINT)
    assert host.process.wait(60) == 130


@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_in_use(workers: int) -> None:
    """O8: one line says what to do, and the server goes on without."""
    with socket.create_server((ADDRESS, 0)) as taken:
        bind = f"{ADDRESS}:{taken.getsockname()[1]}"
        command = Command(
            "bridge",
            (
                *(sys.executable, "-m", "bridge", "serve", "shop:app", "--app-dir={folder}"),
                *(f"--host={ADDRESS}", "--port={port}", f"--workers={workers}"),
                f"--metrics-bind={bind}",
            ),
            files={"shop.py": APP},
        )
        with start(command) as host:
            assert httpx.get(host.url("/")).status_code == 200
            log = host.log()
    assert log.count(f"at {bind}: another process listens there; stop it") == 1
    assert "Traceback" not in log
