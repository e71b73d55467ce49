"""The server in one process: it starts, serves and stops, and leaves nothing behind (P2, S40)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trustme

from bridge import serve
from bridge.errors import AppLoadError, ConfigError, LifespanFailed
from bridge.server import Config, Server
from bridge.server.network.listeners import Listener
from tests.support.hosts import ROOT
from tests.support.raw import request


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers; its lifespan is the simplest that there is."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": scope["client"][0].encode()})


def made(app: Any = app, **settings: Any) -> Server:
    return Server(Config(app=app, port=0, access_log=False, **settings))


def started(test: Callable[[Server], Coroutine[Any, Any, None]], **settings: Any) -> None:
    """`test` with a server that has started, and is stopped after it."""

    async def main() -> None:
        server = made(**settings)
        await server.start()
        try:
            await test(server)
        finally:
            await server.stop(1)

    asyncio.run(main())


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bridge.error")


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


async def until(holds: Callable[[], object]) -> None:
    """Return when `holds()`."""
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.001)


# ------------------------------------------------------------- start


def test_it_says_what_it_serves_and_where(caplog: pytest.LogCaptureFixture) -> None:
    """S51: the last line of the start is the banner; the addresses are those in it."""

    async def test(server: Server) -> None:
        ((host, port),) = server.addresses
        assert (
            said(caplog)
            .splitlines()[-1]
            .startswith(f"asgi-bridge running on http://{host}:{port} ")
        )
        assert server.served == 0

    started(test)


def test_before_the_start_there_is_nothing() -> None:
    """P2: neither addresses nor figures, and SIGUSR2 says nothing."""
    server = made()
    assert (server.addresses, server.served) == ([], 0)
    server.log_stats()


def test_listeners_that_are_given(caplog: pytest.LogCaptureFixture) -> None:
    """P10: it listens at the listeners that it is given, and logs no address."""

    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        address = sock.getsockname()
        server = made()
        await server.start([Listener(sock, False, None)])
        assert server.addresses == [address]
        await server.stop(1)

    asyncio.run(main())
    assert "running on" not in said(caplog)


def test_a_listener_that_cannot_be_served() -> None:
    """S40: the app's lifespan, which had started, is shut down."""
    events: list[str] = []

    async def lives(scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            events.append((await receive())["type"])
            await send({"type": f"lifespan.{event}.complete"})

    async def main() -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        sock.close()
        server = made(lives)
        with pytest.raises((OSError, ValueError)):
            await server.start([Listener(sock, False, None)])
        assert server.addresses == []

    asyncio.run(main())
    assert events == ["lifespan.startup", "lifespan.shutdown"]


def test_an_app_that_has_started_and_is_not_listened_for_yet() -> None:
    """P2: it is held, as a worker is; then it serves, or it is stopped."""

    async def main(*, served: bool) -> None:
        server = made(lifespan="on")
        await server.prepare()
        assert server.addresses == []
        assert server.figures() == {}
        with socket.create_server(("127.0.0.1", 0)) as sock:
            sock.setblocking(False)
            if served:
                await server.listen([Listener(sock, False, None)])
                assert server.addresses == [sock.getsockname()]
            await server.stop(1)
        assert server.addresses == []

    for served in (False, True):
        asyncio.run(main(served=served))


def test_an_app_that_does_not_start() -> None:
    """S40: nothing listens."""

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    async def main() -> None:
        server = made(fails)
        with pytest.raises(LifespanFailed, match="no database"):
            await server.start()
        assert server.addresses == []

    asyncio.run(main())


@pytest.mark.parametrize(
    ("target", "settings", "error"),
    [
        ("no_such_module:app", {}, AppLoadError),
        (42, {}, AppLoadError),
        (lambda: app, {}, AppLoadError),  # a factory, if anything
        (app, {"ssl_certfile": "/no/such/file"}, ConfigError),
        (app, {"bind": "nowhere.invalid:80"}, ConfigError),
    ],
)
def test_what_cannot_be_started(
    target: Any, settings: dict[str, Any], error: type[Exception]
) -> None:
    """S61: an app that is none, or a setting that cannot be met, is an error that names it."""

    async def main() -> None:
        with pytest.raises(error):
            await made(target, **settings).start()

    asyncio.run(main())


def test_an_app_is_loaded_once() -> None:
    """S65: once: a program may import it before its loop runs."""
    made_apps: list[Any] = []

    def factory() -> Any:
        made_apps.append(app)
        return app

    server = made(factory, factory=True)
    server.load()
    server.load()
    assert made_apps == [app] == [server.app]


@pytest.mark.parametrize("run", [lambda: serve(app), lambda: made().run()], ids=["serve", "run"])
def test_a_loop_that_runs_already(run: Callable[[], None]) -> None:
    """S61: a program that runs a loop already is told what to write there."""

    async def main() -> None:
        with pytest.raises(ConfigError, match=r"await Server\(Config\(app=app\)\).serve\(\)"):
            run()

    asyncio.run(main())


# ------------------------------------------------------------- while it serves


PROXIED = b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 443\r\n"


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("proxied", [False, True])
def test_ways_in(tls: bool, proxied: bool, tmp_path: Path) -> None:
    """S30, S31: with TLS and without, behind a PROXY header and not."""
    ca = trustme.CA()
    leaf, certificate = ca.issue_cert("127.0.0.1"), tmp_path / "cert.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(str(certificate))

    def ask(address: Any) -> bytes:
        sock: socket.socket = socket.create_connection(address, timeout=20)
        sock.sendall(PROXIED if proxied else b"")
        if tls:
            context = ssl.create_default_context(cadata=ca.cert_pem.bytes().decode())
            sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
        with sock:
            sock.sendall(request("/", "Connection: close"))
            return b"".join(iter(lambda: sock.recv(65536), b""))

    async def test(server: Server) -> None:
        answer = await asyncio.to_thread(ask, server.addresses[0])
        assert answer.endswith(b"203.0.113.9" if proxied else b"127.0.0.1")
        assert server.served == 1

    settings = {"ssl_certfile": str(certificate)} if tls else {}
    started(test, proxy_protocol=proxied, **settings)


def test_health_is_answered_by_the_server() -> None:
    """O1: the app is not asked."""

    async def test(server: Server) -> None:
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(request("/health"))
        assert b" 200 " in await reader.readline()
        assert b"ready" in await reader.readuntil(b"ready")
        writer.close()

    started(test, health_path="/health", metrics_bind="127.0.0.1:0")


def test_the_clock_goes_on() -> None:
    """S2: once a second the time is taken, by which clients are judged."""

    async def test(server: Server) -> None:
        before = server.state.now
        await until(lambda: server.state.now > before)

    started(test)


def test_figures(caplog: pytest.LogCaptureFixture) -> None:
    """W52: connections, requests, and each pool's figures."""

    def wsgi(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"done"]

    async def test(server: Server) -> None:
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(request("/"))
        await reader.readuntil(b"done")
        await until(lambda: (server.log_stats(), server.served)[1])
        writer.close()

    started(test, app=wsgi)
    assert "1 connection, 1 request served" in said(caplog)
    assert "the app: Stats(" in said(caplog)


def test_certificates_are_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """S31: if they can be; else they stay as they are, and the reason is in the log."""
    certificate = tmp_path / "cert.pem"
    leaf = trustme.CA().issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(certificate))

    async def test(server: Server) -> None:
        server.reload_certificates()
        assert "the certificates were read again" in said(caplog)
        certificate.write_text("nonsense")
        server.reload_certificates()
        assert "the certificates stay as they are: " in said(caplog)

    started(test, ssl_certfile=str(certificate))
    made().reload_certificates()
    assert "SIGHUP: there are no certificates to read again" in said(caplog)


# ------------------------------------------------------------- being told to stop


def test_told_to_stop_before_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    """P2: nothing is imported."""
    server = made("no_such_module:app")
    server.request_stop()
    asyncio.run(server.serve())
    assert "told to stop before the app was imported" in said(caplog)


def test_told_to_stop_while_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    """P2: a startup that hangs is given up."""

    async def hangs(scope: Any, receive: Any, send: Any) -> None:
        asyncio.get_running_loop().call_soon(server.request_stop)
        await asyncio.Event().wait()

    server = made(hangs)
    asyncio.run(server.serve())
    assert "told to stop before the app had started" in said(caplog)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_of_a_program(number: int, caplog: pytest.LogCaptureFixture) -> None:
    """P2, P5: `serve` minds the process's signals meanwhile, and gives them back."""
    before = signal.getsignal(number)

    async def main() -> None:
        server = made()
        serving = asyncio.ensure_future(server.serve())
        await until(lambda: server.addresses)
        for harmless in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            os.kill(os.getpid(), harmless)
        await until(lambda: "SIGHUP: there are no certificates" in said(caplog))
        os.kill(os.getpid(), number)
        await serving

    asyncio.run(main())
    assert signal.getsignal(number) == before
    assert "SIGUSR1: " in said(caplog)
    assert "0 connections, 0 requests served" in said(caplog)


def test_in_another_thread() -> None:
    """P2: a server in a thread that is not the main one is stopped from Python."""
    server, loops = made(), []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve()

    thread = threading.Thread(target=asyncio.run, args=[main()])
    thread.start()
    while not server.addresses:
        thread.join(0.01)
        assert thread.is_alive()
    loops[0].call_soon_threadsafe(server.request_stop)
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("starts", [False, True], ids=["while it starts", "while it serves"])
def test_serve_that_is_cancelled(starts: bool) -> None:
    """P2: a program that cancels `serve` has no server left: no app that starts, no listener."""
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            told.append((await receive())["type"])
            if starts:
                await send({"type": "lifespan.startup.complete"})
            told.append((await receive())["type"])
            await send({"type": "lifespan.shutdown.complete"})
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async def main() -> None:
        server = Server(Config(app=app, port=0))
        task = asyncio.ensure_future(server.serve())
        while not (server.addresses if starts else told):
            await asyncio.sleep(0.01)
            assert not task.done()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert told == ["lifespan.startup", "lifespan.shutdown" if starts else "cancelled"]
        assert not server.addresses
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_stop_that_is_cancelled() -> None:
    """P2: to cancel `serve` again while it stops cuts what is in flight, and nothing is left."""
    told: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            if scope["type"] == "lifespan":
                await receive()
                await send({"type": "lifespan.startup.complete"})
            else:
                told.append("asked")
            await asyncio.Event().wait()
        finally:
            told.append(f"end of {scope['type']}")

    async def main() -> None:
        server = Server(Config(app=app, port=0))
        task = asyncio.ensure_future(server.serve())
        while not server.addresses:
            await asyncio.sleep(0.01)
        reader, writer = await asyncio.open_connection(*server.addresses[0])
        writer.write(request("/"))
        while not told:
            await asyncio.sleep(0.01)
        task.cancel()
        while server.addresses:
            await asyncio.sleep(0.01)
        assert not task.done()  # it waits for the request
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert told == ["asked", "end of http", "end of lifespan"]
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        writer.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


# ------------------------------------------------------------- a process of its own


def process(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A program, to its end."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])},
        capture_output=True,
        text=True,
        timeout=60,
    )


TELLS_ITSELF = """
import os, signal
{early}
async def app(scope, receive, send):
    await receive()
    await send({{"type": "lifespan.startup.complete"}})
    for number in (signal.SIGUSR1, signal.SIGTERM):
        os.kill(os.getpid(), number)
    await receive()
    print("shut down", flush=True)
    await send({{"type": "lifespan.shutdown.complete"}})
"""


@pytest.mark.parametrize("early", [False, True], ids=["while it serves", "at its import"])
def test_the_process_is_the_server_s(tmp_path: Path, early: bool) -> None:
    """P2: `serve` runs a loop of its own until a signal comes, also one at the app's import."""
    kill = "os.kill(os.getpid(), signal.SIGTERM)" if early else ""
    (tmp_path / "told.py").write_text(TELLS_ITSELF.format(early=kill))
    code = "import bridge; bridge.serve('told:app', port=0); print('came back')"
    done = process(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == [*([] if early else ["shut down"]), "came back", ""]
    assert ("told to stop before the app was imported" in done.stderr) == early


def test_a_terminal_that_is_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """P2: the server stops with it, once."""
    code = """
import logging, os, pty, signal, sys
child, terminal = pty.fork()
if not child:
    import bridge
    os.dup2(os.open("log", os.O_WRONLY | os.O_CREAT), 2)
    read, write = os.pipe()
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})
        os.kill(os.getppid(), signal.SIGUSR1)
        await receive()
        os.kill(os.getpid(), signal.SIGHUP)
        await send({"type": "lifespan.shutdown.complete"})
    bridge.serve(app, port=0)
    sys.exit(7)
signal.signal(signal.SIGUSR1, lambda *_: os.close(terminal))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = process(code, tmp_path)
    assert done.stdout == "7\n", done.stderr
    assert (tmp_path / "log").read_text().count("the terminal was closed: stopping") == 1
