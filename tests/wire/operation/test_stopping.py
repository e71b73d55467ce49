"""Start and stop of the server process: lifespan, banner, signals (P2, S40, S51)."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.hosts import Host, bridge, free_port
from tests.support.raw import Client, Closed, request
from tests.support.waiting import eventually
from tests.support.websocket import WebSocket

ASGI = "tests.support.apps.http_rules:app"
WSGI = "tests.support.apps.wsgi_ways:app"
BOTH = pytest.mark.parametrize("app", [ASGI, WSGI], ids=["asgi", "wsgi"])
STOPS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda n: n.name)


def tell(host: Host, number: signal.Signals) -> None:
    os.kill(host.process.pid, number)


def refuses(host: Host) -> bool:
    """Whether nobody listens any more."""
    try:
        host.connect().close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # the listener was closed in this very moment: look again
    return False


# ------------------------------------------------------------- stopping


@STOPS
@BOTH
def test_idle_server_stops_at_once(start_host: StartHost, app: str, number: signal.Signals) -> None:
    """P2: an idle server ends at once, with 0; idle connections are closed, none has to wait."""
    host = start_host(bridge(app, "--no-access-log"))
    clients = [Client(host.connect()) for _ in range(20)]
    for client in clients[:10]:
        assert client.get("/").status == 200
    tell(host, number)
    # The rule says 0.3 s; on a busy machine it is more, but not the 30 s that are for requests.
    assert host.process.wait(20) == 0
    for client in clients:
        assert client.is_closed()
        client.sock.close()


@BOTH
def test_requests_in_flight_are_answered(start_host: StartHost, app: str, tmp_path: Path) -> None:
    """P2: what is in flight is finished, with Connection: close; nobody new is let in."""
    host = start_host(bridge(app, "--no-access-log"))
    waiting, another, uploading = (Client(host.connect()) for _ in range(3))
    waiting.send(request(f"/until?{tmp_path}/first"))
    another.send(request(f"/until?{tmp_path}/second"))
    uploading.send(request("/length", "Content-Length: 6", method="POST") + b"abc")
    with Client(host.connect()) as client:
        client.get("/")  # so that the others have been read
    tell(host, signal.SIGTERM)
    eventually(lambda: refuses(host))
    uploading.send(b"def")
    (tmp_path / "second").touch()
    (tmp_path / "first").touch()
    for client, body in ((waiting, None), (another, None), (uploading, b"6")):
        response = client.response()
        assert (response.status, response.closes) == (200, True)
        assert body in (None, response.body)
        assert client.is_closed()
        client.sock.close()
    assert host.process.wait(10) == 0


def test_streams_in_flight_are_finished(start_host: StartHost) -> None:
    """P2: a stream that has begun goes on to its end."""
    host = start_host(bridge(ASGI, "--no-access-log"))
    with Client(host.connect()) as client:
        client.send(request("/drip?15"))
        client.sock.recv(1)
        tell(host, signal.SIGTERM)
        assert client.everything().endswith(b"\r\n0\r\n\r\n")
    assert host.process.wait(10) == 0


@BOTH
def test_pipelined_requests_at_the_end(start_host: StartHost, app: str, tmp_path: Path) -> None:
    """P2: of pipelined requests the one in flight is answered, and says that it is the last."""
    host = start_host(bridge(app, "--no-access-log"))
    with Client(host.connect()) as client:
        client.send(request(f"/until?{tmp_path}/note") + request("/") * 3)
        with Client(host.connect()) as other:
            other.get("/")
        tell(host, signal.SIGTERM)
        eventually(lambda: refuses(host))
        (tmp_path / "note").touch()
        assert client.response().closes
        assert client.is_closed()


@BOTH
def test_grace_has_an_end(start_host: StartHost, app: str) -> None:
    """P2: after --timeout-graceful-shutdown what is still in flight is cut; the exit code is 0."""
    host = start_host(bridge(app, "--no-access-log", "--timeout-graceful-shutdown=0.5"))
    with Client(host.connect()) as client:
        client.send(request("/hold"))
        with Client(host.connect()) as other:
            other.get("/")
        tell(host, signal.SIGTERM)
        with pytest.raises((Closed, ConnectionResetError)):
            client.response()
    assert host.process.wait(10) == 0
    assert "cut 1 request that was still busy" in host.log()


@BOTH
def test_second_signal_cuts(start_host: StartHost, app: str) -> None:
    """P2: a second SIGINT cuts what the first one waits for."""
    host = start_host(bridge(app, "--no-access-log"))
    with Client(host.connect()) as client:
        client.send(request("/hold"))
        with Client(host.connect()) as other:
            other.get("/")
        tell(host, signal.SIGINT)
        eventually(lambda: refuses(host))
        tell(host, signal.SIGINT)
        with pytest.raises((Closed, ConnectionResetError)):
            client.response()
    assert host.process.wait(5) == 0


def test_shutdown_of_the_lifespan(start_host: StartHost) -> None:
    """P2: the app's lifespan is shut down when the last answer has left."""
    host = start_host(bridge(ASGI, "--no-access-log"))
    with Client(host.connect()) as client:
        client.send(request("/sleep?0.3"))
        with Client(host.connect()) as other:
            other.get("/")
        tell(host, signal.SIGTERM)
        assert client.response().body == b"slept"
    assert host.process.wait(10) == 0
    assert "lifespan shutdown ran" in host.log()


# ------------------------------------------------------------- work after the response

WORK = "tests.support.apps.stopping"
PLACES = pytest.mark.parametrize(
    ("app", "place"),
    [("asgi", ""), ("both", "/wsgi"), ("greenlets", "/wsgi")],
    ids=["asgi", "thread", "greenlet"],
)


@PLACES
def test_work_after_the_response_is_finished(start_host: StartHost, app: str, place: str) -> None:
    """P2: what a handler does after its response is waited for, and lifespan ends after it."""
    host = start_host(bridge(f"{WORK}:{app}", "--no-access-log"))
    with Client(host.connect()) as client:
        assert client.get(f"{place}/work").body == b"taken"
    tell(host, signal.SIGTERM)
    assert host.process.wait(15) == 0
    assert "done: the pool is open\n" in host.log()
    assert "cleaned: the pool is open\n" in host.log()
    assert "Traceback" not in host.log()


@PLACES
def test_work_after_the_response_is_cut(start_host: StartHost, app: str, place: str) -> None:
    """P2: after the grace it is cancelled, cleans up, and only then lifespan ends."""
    grace = "--timeout-graceful-shutdown=0.4"
    host = start_host(bridge(f"{WORK}:{app}", "--no-access-log", grace))
    with Client(host.connect()) as client:
        assert client.get(f"{place}/hang").body == b"taken"
    tell(host, signal.SIGTERM)
    assert host.process.wait(15) == 0
    assert "cleaned: the pool is open\n" in host.log()
    assert "done" not in host.log()
    assert "is still busy (at most 0.4 s; CTRL+C again cuts it)" in host.log()
    if not place:  # what a WSGI app raises is told as ever
        assert "Traceback" not in host.log()


def test_streams_are_cut_before_the_lifespan_ends(start_host: StartHost) -> None:
    """P2: the handlers of connections that are cut have ended when lifespan's shutdown runs."""
    grace = "--timeout-graceful-shutdown=0.3"
    host = start_host(bridge(f"{WORK}:asgi", "--no-access-log", grace))
    with Client(host.connect()) as client:
        client.send(request("/stream"))
        client.sock.recv(1)
        tell(host, signal.SIGTERM)
        assert host.process.wait(15) == 0
    assert "cleaned: the pool is open\n" in host.log()
    assert "cut 1 request that was still busy" in host.log()


def test_work_after_a_websocket_is_finished(start_host: StartHost) -> None:
    """P2: a WebSocket is told 1012, and what its handler does then is waited for."""
    host = start_host(bridge(f"{WORK}:asgi", "--no-access-log"))
    with WebSocket(host.connect()) as client:
        assert client.open_handshake("/").status == 101
        tell(host, signal.SIGTERM)
        assert client.read_close_frame()[0] == 1012
    assert host.process.wait(15) == 0
    for said in ("told 1012", "done", "cleaned"):
        assert f"{said}: the pool is open\n" in host.log()


def test_work_after_a_websocket_is_cut(start_host: StartHost) -> None:
    """P2: it is cancelled once, and what it does then to clean up is not cancelled again."""
    grace = "--timeout-graceful-shutdown=0.3"
    host = start_host(bridge(f"{WORK}:asgi", "--no-access-log", grace))
    with WebSocket(host.connect()) as client:
        assert client.open_handshake("/").status == 101
        tell(host, signal.SIGTERM)
        assert host.process.wait(15) == 0
    assert "cleaned: the pool is open\n" in host.log()
    assert "done" not in host.log()


def test_a_head_that_is_half_sent(start_host: StartHost) -> None:
    """P2: whoever has sent half a request head holds the stop for two seconds, not for ten."""
    host = start_host(bridge(ASGI, "--no-access-log", "--timeout-header=60"))
    with Client(host.connect()) as client:
        client.send(b"GET / HTTP/1.1\r\nHo")
        with Client(host.connect()) as other:
            other.get("/")  # so that the half has been read
        tell(host, signal.SIGTERM)
        assert host.process.wait(15) == 0


# ------------------------------------------------------------- lifespan


def run(app: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The server, to its end."""
    command = bridge(f"tests.support.apps.http_rules:{app}", *options)
    argv = [word.replace("{port}", str(free_port())) for word in command.argv]
    return subprocess.run(argv, cwd=command.cwd, capture_output=True, text=True, timeout=60)


def test_failed_startup() -> None:
    """S40: an app that reports a failed startup: exit code 3, with its message, no listening."""
    done = run("fails_to_start")
    assert done.returncode == 3
    assert "the database is away" in done.stderr
    assert "running on" not in done.stderr


def test_startup_that_hangs() -> None:
    """S40: an app that does not answer in time: exit code 3."""
    done = run("hangs_at_start", "--timeout-startup=0.5")
    assert done.returncode == 3
    assert "startup" in done.stderr


def test_lifespan_that_is_not_known(start_host: StartHost) -> None:
    """S40: an app that knows no lifespan: `auto` goes on, `on` does not, `off` never asks."""
    done = run("raises_at_start", "--lifespan=on")
    assert done.returncode == 3
    assert "I know no lifespan" in done.stderr
    for mode in ("auto", "off"):
        host = start_host(bridge(f"{ASGI[:-4]}:raises_at_start", f"--lifespan={mode}"))
        with Client(host.connect()) as client:
            assert client.get("/").status == 500


def test_failed_shutdown(start_host: StartHost) -> None:
    """S40: a failed shutdown is reported with the app's message."""
    host = start_host(bridge(f"{ASGI[:-4]}:fails_to_stop"))
    tell(host, signal.SIGTERM)
    host.process.wait(10)
    assert "could not say goodbye" in host.log()


def test_told_to_stop_while_starting() -> None:
    """P2: a server whose app hangs at startup can be stopped."""
    command = bridge(f"{ASGI[:-4]}:hangs_at_start", "--log-level=debug")
    argv = [word.replace("{port}", str(free_port())) for word in command.argv]
    with subprocess.Popen(argv, cwd=command.cwd, stderr=subprocess.PIPE) as process:
        # Its handler for the signal is there as soon as it has one for SIGUSR2, too.
        status = f"/proc/{process.pid}/status"
        eventually(lambda: caught(status, signal.SIGUSR2), timeout=20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def caught(status: str, number: signal.Signals) -> bool:
    """Whether the process handles the signal (Linux)."""
    with open(status) as file:
        mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    return bool(mask >> (number - 1) & 1)


# ------------------------------------------------------------- what it says


@BOTH
def test_figures(start_host: StartHost, app: str) -> None:
    """W52: SIGUSR2 writes connections, requests and the figures of each pool to the log."""
    host = start_host(bridge(app, "--no-access-log"))
    with Client(host.connect()) as client:
        for _ in range(3):
            client.get("/")
        wanted = ["3 requests served", *(["served=3"] if app == WSGI else [])]

        def said() -> bool:
            tell(host, signal.SIGUSR2)
            return all(words in host.log() for words in wanted)

        eventually(said)
