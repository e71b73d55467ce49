"""Orders to a real server with several processes, and the desk itself in this process."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.control.client import Connection
from bridge.server.control.orders import OrderFailed
from bridge.server.process.fleet.members import Fork, Gone
from bridge.server.process.orders.desk import Desk
from bridge.server.process.supervisor import Supervisor
from bridge.server.process.worker import run_worker
from tests.support.hosts import Host, bridge, start
from tests.support.waiting import eventually, listens

#: An app that answers with its version, and can stand still: code on disk, to be changed.
SOURCE = """
import time

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/stand":
        stand_still()
    return [b"{version}"]

def stand_still():
    time.sleep(600)
"""


class Server:
    """A server of that app, whose workers take their turn inline: a call can block one."""

    def __init__(self, folder: Path, running: ExitStack, *settings: str) -> None:
        self.code = folder / "shop.py"
        self.code.write_text(SOURCE.replace("{version}", "one"))
        self.socket = str(folder / "a.ctl")
        self.host: Host = running.enter_context(
            start(
                bridge(
                    "shop:app",
                    f"--app-dir={folder}",
                    "--runner=inline",
                    f"--control-socket={self.socket}",
                    *settings,
                ).with_env(PYTHONDONTWRITEBYTECODE="1")
            )
        )

        eventually(lambda: listens(self.socket))

    def ask(self, order: str, **arguments: Any) -> Any:
        with Connection(self.socket) as connection:
            return connection.ask(order, 60, **arguments)

    def serving(self) -> list[int]:
        """The workers that serve."""
        return [each["pid"] for each in self.ask("workers") if each["state"] == "serving"]

    def get(self, path: str = "/") -> str:
        return httpx.get(self.host.url(path), timeout=60).text


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with ExitStack() as running:
        yield lambda *settings: Server(tmp_path, running, *settings)


def test_a_server_tells_what_it_and_its_workers_do(serve: Callable[..., Server]) -> None:
    """O3: what was served is counted, whoever has served it, and by a worker that is gone, too."""
    server = serve("-w", "2")
    eventually(lambda: len(server.serving()) == 2)
    for _ in range(5):
        assert server.get() == "one"
    eventually(lambda: server.ask("status")["served"] == 5)
    eventually(lambda: server.ask("status")["rate"] > 0)
    status = server.ask("status")
    assert status["pid"] == server.host.process.pid
    assert status["app"] == "shop:app"
    assert status["listeners"] == [server.host.url("")]
    assert (status["state"], status["generation"], status["wanted"]) == ("serving", 1, 2)
    assert [each["slot"] for each in status["workers"]] == [0, 1]
    for worker in status["workers"]:
        assert worker["rss"] > 1024 * 1024
        assert worker["cpu"] >= 0
        assert worker["age"] > 0
        os.kill(worker["pid"], signal.SIGKILL)
    eventually(lambda: len({*server.serving()} - {each["pid"] for each in status["workers"]}) == 2)
    assert server.ask("status")["served"] == 5


def test_a_reload_is_waited_for(serve: Callable[..., Server]) -> None:
    """O3: the answer comes when the new code serves; if that cannot start, the old one does."""
    server = serve("-w", "2")
    eventually(lambda: len(server.serving()) == 2)
    before = server.serving()
    server.code.write_text(SOURCE.replace("{version}", "two"))
    assert server.ask("reload") == "reloaded: 2 new workers of generation 2"
    assert server.get() == "two"
    assert not {*server.serving()} & {*before}
    server.code.write_text("app = 1/0")
    with pytest.raises(OrderFailed) as failure:
        server.ask("reload")
    assert "the reload was given up, and the old workers serve on: worker " in str(failure.value)
    assert "ZeroDivisionError" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert server.get() == "two"


def test_the_number_of_workers_is_changed(serve: Callable[..., Server]) -> None:
    """O3: also that of a server with one worker, which has a supervisor if it has a socket."""
    server = serve()
    eventually(lambda: len(server.serving()) == 1)
    assert server.ask("scale", number=3) == "3 workers from now on; before: 1"
    eventually(lambda: len(server.serving()) == 3)
    assert server.ask("scale", number=1) == "1 worker from now on; before: 3"
    eventually(lambda: len(server.ask("workers")) == 1)
    assert server.ask("reopen-logs") == "log files were opened again"


def test_stacks_are_told_of_a_worker_that_hangs_too(serve: Callable[..., Server]) -> None:
    """O3: one worker answers with all its tasks, the other stands in a line of the app."""
    server = serve("-w", "2")
    eventually(lambda: len(server.serving()) == 2)
    with server.host.connect() as client:
        client.sendall(b"GET /stand HTTP/1.1\r\nHost: a\r\n\r\n")
        eventually(
            lambda: any(" in stand_still" in each for each in server.ask("threads").values())
        )
        first, second = sorted(server.ask("threads").values(), key=lambda text: "in stand" in text)
    assert "task lifespan" in first
    assert "shop.py" in second
    server.host.kill()  # the worker would take its time


def test_figures_are_told_if_they_are_kept(serve: Callable[..., Server], tmp_path: Path) -> None:
    """O3: all of them, as Prometheus reads them; if none are kept, the error says what to do."""
    server = serve("-w", "2", f"--metrics-bind=unix:{tmp_path / 'metrics'}")
    assert "bridge_workers_wanted 2\n" in server.ask("metrics")
    assert server.ask("stop") == "the server stops"


def test_figures_are_not_kept_for_nobody(serve: Callable[..., Server]) -> None:
    """O8: the error says what to do."""
    with pytest.raises(OrderFailed, match="start the server with --metrics-bind"):
        serve("-w", "2").ask("metrics")


def test_stop_is_answered_and_nothing_is_left(serve: Callable[..., Server], tmp_path: Path) -> None:
    """O3: the socket has mode 600 as long as it is there; the pid file is the supervisor's."""
    server = serve("-w", "2", f"--pid={tmp_path / 'a.pid'}")
    assert stat.S_IMODE(os.stat(server.socket).st_mode) == 0o600
    assert (tmp_path / "a.pid").read_text() == f"{server.host.process.pid}\n"
    with Connection(server.socket) as connection:
        assert connection.ask("stop") == "the server stops"
        connection.wait_for_end(60)
    assert server.host.process.wait(60) == 0
    assert {each.name for each in tmp_path.iterdir()} == {"shop.py"}


# ------------------------------------------------------------- the desk itself


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """A supervisor that does not run: it has no workers but those that a test tells it of."""
    config = Config(app=print, control_socket=str(tmp_path / "a.ctl"), metrics_bind=":0")
    supervisor = Supervisor(config, run_worker)
    yield supervisor
    supervisor._forking.close()


def make_desk(supervisor: Supervisor) -> Desk:
    return Desk(supervisor, dict)


def test_an_app_that_has_no_name_is_shown_by_its_type(supervisor: Supervisor) -> None:
    """O3: as one that Python code has handed over; mounts are listed."""
    desk = make_desk(supervisor)
    assert desk.status()["app"] == "builtin_function_or_method"
    assert desk.status()["rate"] == 0
    supervisor.config = Config(mount=("/=shop:app", "/api=api:app"))
    assert desk.status()["app"] == "/=shop:app, /api=api:app"


def test_a_worker_that_is_not_forked_yet_is_not_shown(supervisor: Supervisor) -> None:
    """O3: it has no pid; and what is not known of a new one is None."""
    desk, fleet = make_desk(supervisor), supervisor.fleet
    fleet.start(0)
    (action,) = [each for each in fleet.take_actions() if isinstance(each, Fork)]
    assert desk.workers() == []
    fleet.forked(action.member, os.getpid(), 0)
    (worker,) = desk.workers()
    assert (worker["state"], worker["lag"]) == ("starting", None)


def test_what_a_worker_has_served_stays_counted(supervisor: Supervisor) -> None:
    """O3: when it is gone."""
    desk, fleet = make_desk(supervisor), supervisor.fleet
    fleet.start(0)
    (action,) = [each for each in fleet.take_actions() if isinstance(each, Fork)]
    action.member.note_beat({"type": "beat", "served": 7})
    desk.note(Gone(action.member, "told to"))
    fleet.roster.remove(action.member)
    assert desk.status()["served"] == 7


def test_stacks_of_workers_that_cannot_tell(supervisor: Supervisor) -> None:
    """O3: nobody is there, or one that is gone: it is said so."""
    desk, fleet = make_desk(supervisor), supervisor.fleet
    assert desk.stacks().result() == {}
    fleet.start(0)
    (action,) = [each for each in fleet.take_actions() if isinstance(each, Fork)]
    fleet.forked(action.member, 4711, 0)
    stacks = desk.stacks()
    told = supervisor.loop.run_until_complete(stacks)
    assert told == {
        4711: "it does not say what it does: it starts, it ends, or the system holds it"
    }
    given_up = desk.stacks()
    given_up.cancel()
    supervisor.loop.run_until_complete(asyncio.sleep(1.1))
    assert given_up.cancelled()


def test_a_server_that_stops_takes_no_other_orders(supervisor: Supervisor) -> None:
    """O8: neither more workers nor new ones; to stop again changes nothing."""
    desk = make_desk(supervisor)
    assert desk.stop() == desk.stop() == "the server stops"
    with pytest.raises(OrderFailed, match="the server stops"):
        desk.scale(3)
    with pytest.raises(OrderFailed, match="the workers stay as they are: the server stops"):
        desk.reload()


def test_a_reload_that_nobody_waits_for_goes_on(supervisor: Supervisor) -> None:
    """O8: its client has left; or it was given up for another one."""
    desk = make_desk(supervisor)
    with pytest.raises(OrderFailed, match="cannot be loaded again"):
        desk.reload()
    supervisor.fleet.config = Config(app="shop:app")
    left = desk.reload()
    left.cancel()
    second = desk.reload()
    third = desk.reload()
    with pytest.raises(OrderFailed, match="another one was ordered"):
        supervisor.loop.run_until_complete(second)
    supervisor.stop()
    with pytest.raises(OrderFailed, match="the server stops"):
        supervisor.loop.run_until_complete(third)


def test_the_pid_file_of_a_living_server_stops_the_start(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """O8: before a socket is opened."""
    (tmp_path / "a.pid").write_text(f"{os.getppid()}\n")
    supervisor.config = Config(pid=str(tmp_path / "a.pid"), control_socket="off")
    with pytest.raises(ConfigError, match=f"process {os.getppid()}"):
        supervisor.loop.run_until_complete(make_desk(supervisor).open())
    (tmp_path / "a.pid").unlink()
    desk = make_desk(supervisor)
    supervisor.loop.run_until_complete(desk.open())
    assert (tmp_path / "a.pid").exists()
    desk.close()
    assert list(tmp_path.iterdir()) == []


def test_one_worker_has_a_supervisor_if_it_is_to_take_orders() -> None:
    """P12: not without the setting, nor if that is `off`."""
    assert Config(control_socket="/run/a.ctl").supervised
    assert not Config(control_socket="off").supervised
    assert not Config().supervised
