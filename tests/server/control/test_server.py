"""The control socket of a server: good clients, bad ones, and what is left in the file system."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.server.control import server as module
from bridge.server.control.server import MOST_BYTES, MOST_CLIENTS, ControlServer
from tests.support.orders import Running, Supervised, taking_orders
from tests.support.waiting import eventually


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with taking_orders(tmp_path / "a.ctl") as server:
        yield server


def connect(server: Running) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(server.path)
    return client


def read(client: socket.socket) -> Any:
    """The answer: one line, and then the end."""
    data = b"".join(iter(lambda: client.recv(65536), b""))
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    return json.loads(data)


def ask(server: Running, line: bytes) -> Any:
    with connect(server) as client:
        with contextlib.suppress(BrokenPipeError):  # it has been answered, and closed, before
            client.sendall(line)
        return read(client)


STATUS = b'{"order": "status"}\n'


def test_an_order_is_a_line_and_so_is_the_answer(running: Running) -> None:
    """O3: one JSON line in, one out, then the connection is closed."""
    answer = ask(running, STATUS)
    assert answer["ok"] is True
    assert answer["result"]["app"] == "shop:app"
    assert [each["slot"] for each in answer["result"]["workers"]] == [0, 1]
    assert ask(running, b'{"order": "scale", "number": 4, "new": "key"}\nmore')["ok"] is True
    assert len(ask(running, STATUS)["result"]["workers"]) == 4


def test_only_its_user_may_open_it(running: Running) -> None:
    """O3: mode 600, whatever the umask is."""
    assert stat.S_IMODE(os.lstat(running.path).st_mode) == 0o600


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"\x16\x03\x01garbage\n", "that is no JSON"),
        (b"{" * (MOST_BYTES + 1), f"an order has {MOST_BYTES} bytes at most"),
        (b'{"order": "explode"}\n', "there is no order 'explode'"),
        (b'{"order": "scale", "number": 0}\n', "cannot scale to 0"),
        (b'{"order": "metrics"}\n', "no figures are kept"),
        (b'{"order": "reopen-logs"}\n', "the server made a mistake; its log says which"),
    ],
)
def test_a_bad_order_gets_one_error_and_the_server_goes_on(
    running: Running, said: bytes, error: str
) -> None:
    """O8: garbage, an endless line, what is unknown or impossible, and a mistake of ours."""
    answer = ask(running, said)
    assert answer["ok"] is False
    assert error in answer["error"]
    assert ask(running, STATUS)["ok"] is True


def test_a_line_without_its_end_is_no_order(running: Running) -> None:
    """O8: the client has closed its side in the middle of a line, or without a word."""
    with connect(running) as client:
        client.sendall(b'{"order": "stop"}')
        client.shutdown(socket.SHUT_WR)
        assert read(client) == {"ok": False, "error": "the order has no end; it is a line"}
    with connect(running) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
    assert ask(running, STATUS)["ok"] is True


def test_a_client_that_says_nothing_is_closed(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: it has two seconds."""
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    with connect(running) as client:
        client.sendall(b'{"order"')
        assert read(client)["error"] == "no order came within 0.1 seconds"


def test_a_client_may_end_its_side_after_its_order(running: Running) -> None:
    """O3: as `nc -N` does."""
    with connect(running) as client:
        running.supervised.pending = []
        client.sendall(b'{"order": "reload"}\n')
        eventually(lambda: running.supervised.pending)
        client.sendall(b"what does not matter")
        client.shutdown(socket.SHUT_WR)
        assert ask(running, STATUS)["ok"] is True
        (future,) = running.supervised.pending
        running.loop.call_soon_threadsafe(future.set_result, "done")
        assert read(client) == {"ok": True, "result": "done"}


def test_a_client_too_many_is_told_so(running: Running) -> None:
    """O8: at most 32 at a time; places become free again."""
    clients = [connect(running) for _ in range(MOST_CLIENTS)]
    try:
        assert "others are giving orders" in ask(running, b"")["error"]
    finally:
        for client in clients:
            client.close()
    eventually(lambda: ask(running, STATUS)["ok"])


def test_a_client_that_leaves_in_the_middle_changes_nothing(running: Running) -> None:
    """O8: the order goes on without it, and its answer is thrown away."""
    running.supervised.pending = []
    with connect(running) as client:
        client.sendall(b'{"order": "reload"}\n')
        eventually(lambda: running.supervised.pending)
    (future,) = running.supervised.pending
    running.loop.call_soon_threadsafe(future.set_result, "done")
    assert ask(running, STATUS)["ok"] is True


def test_a_client_that_does_not_take_its_answer_is_cut_off(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O8: an answer that nobody reads is not kept for ever."""
    monkeypatch.setattr(module, "TAKING", 0.1)
    running.supervised.wanted = 50_000
    with connect(running) as client:
        client.sendall(STATUS)
        client.recv(1)
        eventually(lambda: _is_cut(client))
    running.supervised.wanted = 2
    assert ask(running, STATUS)["ok"] is True


def _is_cut(client: socket.socket) -> bool:
    try:
        client.send(b"x")
    except OSError:
        return True
    return False


def fail(future: asyncio.Future[str]) -> None:
    future.set_exception(KeyError("a mistake of ours"))


def test_what_becomes_of_an_order_that_takes_long_is_answered(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """O3: `reload` waits for its end: done, failed with a reason, given up, or a mistake."""
    supervised = running.supervised
    supervised.broken = "the new version cannot start: shop.py has no app"
    assert ask(running, b'{"order": "reload"}\n') == {"ok": False, "error": supervised.broken}
    for end, error in (
        (lambda future: future.cancel(), "the order was given up"),
        (fail, "the server made a mistake; its log says which"),
    ):
        supervised.pending = pending = []
        with connect(running) as client:
            client.sendall(b'{"order": "reload"}\n')
            eventually(lambda: pending)  # noqa: B023
            running.loop.call_soon_threadsafe(end, pending[0])
            assert read(client) == {"ok": False, "error": error}
    assert "a mistake of ours" in caplog.text


def test_the_log_says_who_has_changed_something(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """O3: questions are not logged; orders are, word by word, with the process that gave them."""
    caplog.set_level(logging.INFO, "bridge.error")
    ask(running, STATUS)
    ask(running, b'{"order": "scale", "number": 3}\n')
    said = [each.getMessage() for each in caplog.records if "ordered" in each.getMessage()]
    by = f" by process {os.getpid()} of user {os.geteuid()}" if hasattr(os, "pidfd_open") else ""
    assert said == [f"scale 3 was ordered over the control socket{by}"]
    ask(running, b'{"order": "switch", "route": "a\\nb", "mode": "canary", "share": null}\n')
    assert "canary" not in caplog.text  # whoever switches it logs it, with what was before


def test_the_log_says_what_was_refused(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """O3: an order that has failed is not one that was carried out."""
    caplog.set_level(logging.INFO, "bridge.error")
    ask(running, b'{"order": "switch", "route": "a\\nb", "mode": "never", "share": null}\n')
    said = [each.getMessage() for each in caplog.records if "ordered" in each.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("switch a b never was refused, ordered over the control socket")
    assert said[0].endswith(": there is no such mode")


def test_a_system_that_does_not_tell_who_it_was_is_no_error(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """O3: as on macOS."""
    caplog.set_level(logging.INFO, "bridge.error")
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    assert ask(running, b'{"order": "scale", "number": 3}\n')["ok"] is True
    assert "scale 3 was ordered over the control socket\n" in caplog.text


def test_at_the_end_the_socket_is_gone_and_clients_are_told(tmp_path: Path) -> None:
    """O3: a silent client is answered; one that has ordered the stop stays until the end."""
    path = tmp_path / "a.ctl"
    with taking_orders(path) as running, connect(running) as silent, connect(running) as stopping:
        stopping.sendall(b'{"order": "stop"}\n')
        assert json.loads(stopping.recv(1000)) == {"ok": True, "result": "stopping"}
        assert read(silent) == {"ok": False, "error": "the server is stopping"}
    assert not path.exists()


def test_who_waits_when_the_server_stops_is_told(tmp_path: Path) -> None:
    """O3: for a reload, which ends later, or for an answer that it does not take."""

    async def stop_meanwhile() -> None:
        supervised = Supervised()
        supervised.pending = pending = []
        control = ControlServer.open(str(tmp_path / "a.ctl"))
        assert control is not None
        await control.serve(supervised)
        reader, writer = await asyncio.open_unix_connection(control.path)
        slow, slow_writer = await asyncio.open_unix_connection(control.path, limit=1)
        supervised.wanted = 50_000
        slow_writer.write(STATUS)
        writer.write(b'{"order": "reload"}\n')
        while not (pending and slow._buffer):  # type: ignore[attr-defined]
            await asyncio.sleep(0)
        control.close()
        assert json.loads(await reader.read()) == {"ok": False, "error": "the server is stopping"}
        pending[0].set_result("done")
        with contextlib.suppress(ConnectionError):
            assert not (await slow.read()).endswith(b"\n")
        for each in (writer, slow_writer):
            each.close()

    asyncio.run(stop_meanwhile())


# ------------------------------------------------------------- a socket that cannot be had


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "bridge.error")
    return caplog


def test_a_living_server_keeps_its_socket(
    running: Running, warnings: pytest.LogCaptureFixture
) -> None:
    """O8: the second server goes on without one, and a warning says what to do."""
    assert ControlServer.open(running.path) is None
    (record,) = warnings.records
    assert f"another server has {running.path}; give each its own" in record.getMessage()
    assert ask(running, STATUS)["ok"] is True


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    """O8: the server that made it was killed."""
    path = tmp_path / "a.ctl"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with taking_orders(path) as running:
        assert ask(running, STATUS)["ok"] is True


def test_a_path_that_cannot_be_used_is_told(
    tmp_path: Path, warnings: pytest.LogCaptureFixture
) -> None:
    """O8: a file in the way, no such directory, a path that is too long, one open to all."""
    (tmp_path / "file").write_text("no socket")
    for path, said in {
        "file": "a file that is no socket is in the way",
        "none/a.ctl": "No such file or directory; say --control-socket PATH",
        "x" * 200: "the path is too long",
    }.items():
        warnings.clear()
        assert ControlServer.open(str(tmp_path / path)) is None
        (record,) = warnings.records
        assert said in record.getMessage()
        assert "--control-socket off" in record.getMessage()
    assert ControlServer.open("off") is None


def test_the_usual_place_is_used_if_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """O3: in the user's runtime directory; what never served can be closed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    control = ControlServer.open(None)
    assert control is not None
    assert control.path == str(tmp_path / "asgi-bridge" / f"{os.getpid()}.ctl")
    assert os.path.exists(control.path)
    control.close()
    assert not os.path.exists(control.path)


def test_a_forked_child_does_not_remove_the_socket(tmp_path: Path) -> None:
    """O3: only the process that made it removes it."""
    forking = [sys.executable, "-c", textwrap.dedent(FORKING), str(tmp_path / "a.ctl")]
    subprocess.run(forking, check=True, timeout=60)


FORKING = """
    import os, sys
    from bridge.server.control.server import ControlServer

    control = ControlServer.open(sys.argv[1])
    child = os.fork()
    if not child:
        control.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.path.exists(control.path)
    control.close()
    assert not os.path.exists(control.path)
"""
