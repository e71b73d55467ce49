"""How `ctl` finds a server, and what it says if there is none, or a strange one."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.server.control import client as module
from bridge.server.control import places
from bridge.server.control.client import Connection, NoServer, SeveralServers, find
from bridge.server.control.orders import OrderFailed
from tests.support.hosts import ROOT
from tests.support.orders import taking_orders
from tests.support.waiting import eventually, listens


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A runtime directory of this test alone."""
    monkeypatch.setattr(places, "_SYSTEM", str(tmp_path / "run"))
    monkeypatch.setattr(places, "directories", lambda _: [str(tmp_path / "asgi-bridge")])
    (tmp_path / "asgi-bridge").mkdir(0o700)
    return {}


def test_the_only_living_server_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    """O3: what is stale does not count; if there are several, they are named."""
    directory = tmp_path / "asgi-bridge"
    (directory / "3.ctl").write_text("no socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(directory / "2.ctl"))
    with pytest.raises(NoServer, match=r"no server of user .* is running .*-w 2 or more"):
        find(environ)
    with taking_orders(directory / "1.ctl") as first:
        assert find(environ) == first.path
        with taking_orders(directory / "4.ctl") as second:
            with pytest.raises(SeveralServers, match="--socket PATH") as failure:
                find(environ)
            assert failure.value.paths == [first.path, second.path]


def test_a_server_that_is_too_busy_to_accept_is_there(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: it is found, and says that it takes no orders now."""
    monkeypatch.setattr(module, "CONNECTING", 0.05)
    path = str(tmp_path / "asgi-bridge" / "1.ctl")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(path)
        busy.listen(0)
        waiting.connect(path)
        assert find(environ) == path
        with pytest.raises(OrderFailed, match="takes no orders now; try again"):
            Connection(path)


def test_a_user_without_a_name_is_shown_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """O8: as in a container that runs under any number."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    assert module._user() == "4000000"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none.ctl", "there is no such socket. Is it running"),
        ("stale.ctl", "the socket is stale, its server has been killed. Start it again"),
        ("none/" + "x" * 200, "AF_UNIX path too long. Say --socket PATH"),
        ("file/a.ctl", "Not a directory"),
    ],
)
def test_no_server_is_told_in_one_line(tmp_path: Path, path: str, said: str) -> None:
    """O8: nobody is there, or what is left of it."""
    (tmp_path / "file").write_text("")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale.ctl"))
    with pytest.raises(NoServer) as failure:
        Connection(str(tmp_path / path))
    assert said in str(failure.value)


def test_a_socket_of_somebody_else_is_not_opened(tmp_path: Path) -> None:
    """O8: the error says who may. As root everything may be opened, so another user tries."""
    with taking_orders(tmp_path / "a.ctl") as running:
        os.chmod(running.path, 0o000)
        with another_user(), pytest.raises(OrderFailed) as failure:
            Connection(running.path)
    assert f"{running.path} may not be opened by user " in str(failure.value)
    assert "only the server's user and root may give it orders" in str(failure.value)


@contextmanager
def another_user() -> Iterator[None]:
    """Be somebody else than root, for whom there are no permissions."""
    user = os.geteuid()
    if not user:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_orders_are_answered(tmp_path: Path) -> None:
    """O3: a result, or the reason why there is none."""
    with taking_orders(tmp_path / "a.ctl") as running:
        with Connection(running.path) as connection:
            assert connection.ask("scale", number=3) == "3 workers are wanted"
        with Connection(running.path) as connection, pytest.raises(OrderFailed, match="figures"):
            connection.ask("metrics")


@contextmanager
def answering(path: Path, answer: bytes, *, later: bool = False) -> Iterator[None]:
    """A server that sends `answer` to one client and closes, without reading what has come.

    `later`: it waits until something has.
    """
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()

        def serve() -> None:
            client, _ = sock.accept()
            with client:
                if later:
                    select.select([client], [], [], 20)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            thread.join(20)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\n", b"[]\n", b"7\n", b"{}\n"])
def test_something_else_that_listens_there_is_told(tmp_path: Path, answer: bytes) -> None:
    """O8: the socket of another program was named."""
    with answering(tmp_path / "a", answer), Connection(str(tmp_path / "a")) as connection:
        with pytest.raises(OrderFailed, match="is no asgi-bridge"):
            connection.ask("status")


def test_a_server_that_ends_before_it_answers_is_told(tmp_path: Path) -> None:
    """O8: whether the client notices when it sends or when it reads."""
    with answering(tmp_path / "a", b'{"ok"'), Connection(str(tmp_path / "a")) as connection:
        eventually(lambda: select.select([connection._socket], [], [], 0)[0])
        with pytest.raises(OrderFailed, match="ended before it has answered status"):
            connection.ask("status")


def test_a_connection_that_is_reset_has_ended(tmp_path: Path) -> None:
    """O8: the server has closed it without reading the order."""
    path = tmp_path / "a"
    with answering(path, b"", later=True), Connection(str(path)) as connection:
        with pytest.raises(OrderFailed, match="ended before it has answered status"):
            connection.ask("status")
    path.unlink()
    with answering(path, b"", later=True), Connection(str(path)) as connection:
        connection._socket.sendall(b"what is not read")
        eventually(lambda: select.select([connection._socket], [], [], 0)[0])
        with pytest.raises(OrderFailed, match="still stopping"):
            connection.wait_for_end(0.05)


def test_an_answer_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    """O8: the order may still be carried out, and the error says so."""
    with taking_orders(tmp_path / "a.ctl") as running:
        running.supervised.pending = []
        with Connection(running.path) as connection:
            with pytest.raises(OrderFailed, match="not answered reload in time"):
                connection.ask("reload", 0.05)
            with pytest.raises(OrderFailed, match="still stopping after"):
                connection.wait_for_end(0.05)


@pytest.mark.parametrize("pidfd", [True, False])
def test_the_end_of_the_process_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pidfd: bool
) -> None:
    """O3: when `stop` is done, the process is gone; also on a system that cannot tell of it."""
    if not pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    path = tmp_path / "a.ctl"
    command = [sys.executable, "-m", "tests.support.orders", str(path)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        eventually(lambda: listens(path))
        with Connection(str(path)) as connection:
            assert connection.ask("stop") == "stopping"
            connection.wait_for_end(None)
        if pidfd:
            assert process.poll() == 0
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_a_process_that_only_closes_its_socket_is_not_gone(tmp_path: Path) -> None:
    """O3: its end is what counts. This very process answers, and does not end."""
    with answering(tmp_path / "a", b""), Connection(str(tmp_path / "a")) as connection:
        with pytest.raises(OrderFailed, match="still stopping after"):
            connection.wait_for_end(0.05)
