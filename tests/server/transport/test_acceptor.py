"""What comes before TLS, and handshakes that fail: answered where that can be, and never silent."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from bridge.loops.factory import new_event_loop
from bridge.server.config.config import Config
from bridge.server.lifecycle import stopping
from bridge.server.network.load_board import LoadBoard
from bridge.server.state import ServerState
from bridge.server.transport import acceptor
from bridge.server.transport.acceptor import TlsListener
from bridge.server.transport.fair_share import WorkerLoad
from bridge.types import Receive, Scope, Send
from tests.conftest import StartHost
from tests.support.apps import hello
from tests.support.hosts import BRIDGE_WORKER, Host, bridge, gunicorn
from tests.support.raw import Client
from tests.support.serving import Served, served
from tests.support.waiting import eventually

HELLO = "tests.support.apps.hello:asgi"
CONNECTION = "tests.support.apps.connection"
#: Seconds that nothing here takes, on the slowest machine.
LONG = 60


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate for 127.0.0.1, its key and its authority, in files."""
    folder, ca = tmp_path_factory.mktemp("tls"), trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    paths = {name: str(folder / f"{name}.pem") for name in ("cert", "key", "ca")}
    Path(paths["cert"]).write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(paths["key"])
    ca.cert_pem.write_to_path(paths["ca"])
    return paths


def serve(start_host: StartHost, files: dict[str, str], *options: str, app: str = HELLO) -> Host:
    tls = "--ssl-certfile", files["cert"], "--ssl-keyfile", files["key"]
    return start_host(bridge(app, *tls, *options))


def is_served(host: Host, files: dict[str, str]) -> bool:
    context = ssl.create_default_context(cafile=files["ca"])
    return httpx.get(host.url("/", "https"), verify=context).text == "Hello, world!"


def shake_hands(host: Host, context: ssl.SSLContext) -> None:
    """Try a handshake; whatever the server says to that is no matter."""
    context.check_hostname = False
    with host.connect() as sock:
        try:
            with context.wrap_socket(sock) as connection:
                connection.recv(1)
        except OSError:
            pass


@pytest.mark.parametrize("worker", [False, True], ids=["bridge", "gunicorn"])
def test_plain_http(start_host: StartHost, files: dict[str, str], worker: bool) -> None:
    """S6, S31: a request in the clear gets a 400 that says https, and a line in the log."""
    if worker:
        tls = "--certfile", files["cert"], "--keyfile", files["key"]
        host = start_host(gunicorn(HELLO, *tls, worker=BRIDGE_WORKER))
    else:
        host = serve(start_host, files)
    for method in ("GET", "HEAD", "POST"):
        with Client(host.connect()) as client:
            client.send(f"{method} /x HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            response = client.response(method)
            assert (response.status, response.closes) == (400, True)
            if method != "HEAD":
                assert response.body == b"Bad Request: this port speaks TLS; ask with https://\n"
            client.end_sending()
            assert client.is_closed()
    assert is_served(host, files)
    host.stop()
    assert "x plain HTTP on a TLS port" in host.log()
    assert "Traceback" not in host.log()


def test_a_handshake_that_fails(start_host: StartHost, files: dict[str, str]) -> None:
    """S6, S31: it has a line at debug level that says who and why."""
    host = serve(start_host, files, "--log-level=debug")
    shake_hands(host, ssl.create_default_context())  # it does not know our authority
    eventually(lambda: "(failed TLS handshake) 127.0.0.1:" in host.log())
    # Random bytes follow, and decide which quotes stand around them.
    assert re.search(r"alert unknown ca; it began with b['\"]\\x16\\x03\\x01", host.log())
    eventually(lambda: "refused: 1 x failed TLS handshake" in host.log())
    assert is_served(host, files)


def test_a_client_without_a_certificate(start_host: StartHost, files: dict[str, str]) -> None:
    """S6, S31: so has a client that has no certificate where one is wanted."""
    wanted = "--ssl-cert-reqs=required", f"--ssl-ca-certs={files['ca']}"
    tls = "--ssl-certfile", files["cert"], "--ssl-keyfile", files["key"]
    host = start_host(bridge(HELLO, *tls, *wanted, "--log-level=debug"))
    shake_hands(host, ssl.create_default_context(cafile=files["ca"]))
    eventually(lambda: "peer did not return a certificate" in host.log())


def test_a_handshake_that_is_broken_off(start_host: StartHost, files: dict[str, str]) -> None:
    """S6, S31: half a handshake is told of; a connection without a byte, as probes make, is not."""
    host = serve(start_host, files, "--log-level=debug", "--timeout-header=1")
    for reset in (False, True):
        sock = host.connect()
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    with host.connect() as sock:  # silent until its time is up
        assert sock.recv(1) == b""
    assert "refused" not in host.log()
    with host.connect() as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        sock.shutdown(socket.SHUT_WR)
        eventually(lambda: "(failed TLS handshake)" in host.log())
    said = host.log_size()
    with host.connect() as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        eventually(lambda: "(failed TLS handshake)" in host.log(said))
    said = host.log_size()
    with host.connect() as sock:
        sock.sendall(b"\x80\x2e\x01")
        eventually(lambda: "it does not begin as TLS does; it began with" in host.log(said))
    assert is_served(host, files)


def test_a_handshake_does_not_hold_up_the_end(start_host: StartHost, files: dict[str, str]) -> None:
    """P2, S31: a server stops although clients have begun a handshake, or have not yet."""
    host = serve(start_host, files)
    with host.connect() as silent, host.connect() as half, Client(host.connect()) as plain:
        half.sendall(b"\x16\x03\x01\x02\x00\x01")
        plain.send(b"GET / HTTP/1.1\r\n\r\n")
        assert plain.response().status == 400
        assert host.stop() == 0
        assert silent.recv(1) == b""
    assert "Traceback" not in host.log()


def test_a_handshake_that_had_begun_is_finished(
    start_host: StartHost, files: dict[str, str]
) -> None:
    """S31: bytes of a handshake that come one by one make a connection as any."""
    host = serve(start_host, files)
    context = ssl.create_default_context(cafile=files["ca"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with host.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        done = False
        while not done:
            try:
                tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                pass
            for byte in outgoing.read():
                sock.sendall(bytes([byte]))
            if not done:
                incoming.write(sock.recv(65536))
        tls.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        sock.sendall(outgoing.read())
        while True:
            try:
                assert tls.read(15) == b"HTTP/1.1 200 OK"
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))


# ------------------------------------------------------------- the end, and the limit


class Half:
    """A client that has sent the beginning of its handshake."""

    def __init__(self, port: int, cafile: str) -> None:
        context = ssl.create_default_context(cafile=cafile)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")
        with pytest.raises(ssl.SSLWantReadError):
            self._tls.do_handshake()
        self._hello = self._outgoing.read()
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.sock.sendall(self._hello[:9])

    def get(self) -> bytes:
        """Finish the handshake, and ask for something; how the answer begins."""
        self.sock.sendall(self._hello[9:])
        self._patiently(self._tls.do_handshake)
        self._tls.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return bytes(self._patiently(lambda: self._tls.read(15)))

    def _patiently(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.sock.sendall(self._outgoing.read())
                data = self.sock.recv(65536)
                if not data:
                    raise ConnectionResetError("the server has closed") from None
                self._incoming.write(data)


def certified(files: dict[str, str]) -> dict[str, str]:
    return {"ssl_certfile": files["cert"], "ssl_keyfile": files["key"]}


def begun(running: Served) -> int:
    """How many handshakes have begun."""
    return int(running.call(lambda: sum(running.server.state.handshakes.values())))


def test_who_has_begun_a_handshake_is_answered(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """P2, S31: a server that stops waits a little for a handshake, and answers what comes of it."""
    monkeypatch.setattr(stopping, "HEAD_GRACE", 30.0)
    with served(hello.asgi, **certified(files)) as running:
        client = Half(running.port, files["ca"])
        eventually(lambda: begun(running) == 1)
        running.ask_to_stop()
        eventually(lambda: running.call(lambda: running.server.state.stop_phase))
        assert client.get() == b"HTTP/1.1 200 OK"
        client.sock.close()


def test_no_handshake_ends_behind_the_lifespan(files: dict[str, str]) -> None:
    """P2, S31: nobody who has begun a handshake gets to ask an app that is being shut down."""
    shutting_down, go = threading.Event(), threading.Event()
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            asked.append(scope["path"])
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        shutting_down.set()
        await asyncio.to_thread(go.wait, 20)
        await send({"type": "lifespan.shutdown.complete"})

    with served(app, lifespan="on", timeout_graceful_shutdown=0, **certified(files)) as running:
        client = Half(running.port, files["ca"])
        eventually(lambda: begun(running) == 1)
        running.ask_to_stop()
        try:
            assert shutting_down.wait(20)
            with pytest.raises(OSError):
                client.get()
        finally:
            go.set()
            client.sock.close()
    assert asked == []


def test_as_many_handshakes_as_connections(files: dict[str, str]) -> None:
    """S2, S31: clients that connect and say nothing are as many as may be, and no more."""
    with served(hello.asgi, limit_connections=3, **certified(files)) as running:
        state = running.server.state
        address = "127.0.0.1", running.port
        silent = [socket.create_connection(address, timeout=20) for _ in range(3)]
        eventually(lambda: len(state.handshakes) == 3)
        with socket.create_connection(address, timeout=20) as one_more:
            assert one_more.recv(1) == b""
        for sock in silent:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
            sock.close()
        eventually(lambda: not state.handshakes)
        client = Half(running.port, files["ca"])
        assert client.get() == b"HTTP/1.1 200 OK"
        client.sock.close()


# ------------------------------------------------------------- a PROXY header before TLS


V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11"
    + struct.pack("!H", 12 + 5)
    + bytes([203, 0, 113, 9, 198, 51, 100, 1])
    + struct.pack("!HH", 51234, 443)
    + b"\x04\x00\x02\x00\x00"
)
UNIX = b"\r\n\r\n\x00\r\nQUIT\n\x21\x31" + struct.pack("!H", 216) + bytes(216)


def behind_proxy(host: Host, files: dict[str, str], header: bytes) -> ssl.SSLSocket:
    """A connection with TLS, behind the header."""
    plain = host.connect()
    plain.sendall(header)
    context = ssl.create_default_context(cafile=files["ca"])
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_a_proxy_header(
    start_host: StartHost, files: dict[str, str], kind: str, header: bytes
) -> None:
    """S30, S31: a PROXY header comes in the clear, and TLS begins behind it."""
    host = serve(start_host, files, "--proxy-protocol", app=f"{CONNECTION}:{kind}")
    with behind_proxy(host, files, header) as sock:
        for _ in range(2):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = sock.recv(65536)
            while not answer.rstrip().endswith(b"}"):
                answer += sock.recv(65536)
            told = json.loads(answer.partition(b"\r\n\r\n")[2])
            if kind == "asgi":
                assert told["client"] == ["203.0.113.9", 51234]
                assert told["server"] == ["198.51.100.1", 443]
                assert told["tls"]["tls_version"] == 0x0304
            else:
                assert told["REMOTE_ADDR"] == "203.0.113.9"
                assert told["wsgi.url_scheme"] == "https"
    assert host.stop() == 0
    assert "Traceback" not in host.log()


def test_a_proxy_header_without_an_address(start_host: StartHost, files: dict[str, str]) -> None:
    """S30, S31, S32: a client of the proxy's Unix socket is served, and not believed."""
    host = serve(start_host, files, "--proxy-protocol", app=f"{CONNECTION}:asgi")
    with behind_proxy(host, files, UNIX) as sock:
        sock.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\nConnection: close\r\n\r\n"
        )
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["client"] is None


def test_a_proxy_header_from_a_stranger(start_host: StartHost, files: dict[str, str]) -> None:
    """S30, S31: a peer that is not a trusted proxy is cut off before TLS begins."""
    allowed = "--proxy-protocol", "--proxy-protocol-allow-ips=10.9.9.9"
    host = serve(start_host, files, *allowed, "--log-level=debug")
    with host.connect() as sock:
        try:
            sock.sendall(V1)
            assert sock.recv(100) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    eventually(lambda: "name the proxies in --proxy-protocol-allow-ips" in host.log())


def test_no_proxy_header(start_host: StartHost, files: dict[str, str]) -> None:
    """S30, S31: no header, a wrong one, half of one, or no bytes: cut off in time."""
    options = "--proxy-protocol", "--timeout-header=1", "--log-level=debug"
    host = serve(start_host, files, *options)
    for data in (b"\x16\x03\x01\x02\x00", b"PROXY TCP4 x\r\n", V2[:20], b"", V1, V1 + b"junk"):
        with host.connect() as sock:
            sock.sendall(data)
            try:
                answer = sock.recv(100)
            except ConnectionResetError:
                answer = b""
            assert not answer.startswith(b"HTTP")
    eventually(lambda: re.search("PROXY header.* it took too long", host.log()))
    with host.connect() as sock:
        sock.sendall(V2[:20])
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    eventually(lambda: "the client left before its PROXY header was whole" in host.log())
    with behind_proxy(host, files, V1) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert "Traceback" not in host.log()


# ------------------------------------------------------------- accepting, in process


class Leaving(socket.socket):
    """A listener whose first client has left before it is accepted; Linux does not tell of one."""

    has_left = False

    def _accept(self) -> tuple[int, Any]:
        """Accept a client."""
        if not self.has_left:
            self.has_left = True
            raise ConnectionAbortedError("on purpose")
        return super()._accept()


class Accepting:
    """A listener of a loop without a server; nobody shakes hands."""

    def __init__(self, sock: socket.socket) -> None:
        self._runner = asyncio.Runner(loop_factory=new_event_loop)
        self.failures: list[dict[str, Any]] = []
        loop = self._runner.get_loop()
        loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self._sock = sock
        sock.bind(("127.0.0.1", 0))
        self.address = sock.getsockname()
        sock.listen(100)
        sock.setblocking(False)
        self.state = ServerState(Config(app="x:y", timeout_header=0), loop)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.listener = TlsListener(
            sock, asyncio.Protocol, context, self.state, WorkerLoad(LoadBoard(1).take(), (), ())
        )
        self.clients: list[socket.socket] = []

    def connect(self, count: int = 1) -> None:
        """Have so many clients come, and say nothing."""
        self.clients += [socket.create_connection(self.address, timeout=LONG) for _ in range(count)]

    def until(self, holds: Callable[[], object]) -> None:
        """Let the loop turn until that holds."""

        async def turning() -> None:
            while not holds():
                await asyncio.sleep(0)

        self.run(turning())

    def run(self, work: Any) -> None:
        """Run on the loop."""
        self._runner.run(asyncio.wait_for(work, LONG))

    def close(self) -> None:
        """End the loop, and see that it has reported nothing."""
        self._runner.close()
        for sock in (self._sock, *self.clients):
            sock.close()
        assert self.failures == []


@pytest.fixture
def accepting() -> Iterator[Accepting]:
    accepting = Accepting(Leaving())
    yield accepting
    accepting.close()


def test_many_at_once(accepting: Accepting) -> None:
    """S31: more clients than are accepted in one step are accepted all the same."""
    accepting.connect(70)
    accepting.until(lambda: len(accepting.state.handshakes) == 70)
    accepting.listener.close()


@pytest.mark.parametrize("stops", [False, True])
def test_no_descriptors_left(
    accepting: Accepting, stops: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """S2, S31: accepting pauses, with an error in the log, and goes on unless the server stops."""
    client = socket.socket()
    accepting.clients.append(client)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def without_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            client.connect(accepting.address)
            while not caplog.messages:
                await asyncio.sleep(0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    accepting.run(without_descriptors())
    assert re.fullmatch(r"cannot accept connections: .*; going on in 0.5 s", *caplog.messages)
    assert not accepting.state.handshakes
    if stops:
        accepting.listener.close()
        accepting.run(asyncio.sleep(0.6))  # it would have gone on meanwhile
        assert not accepting.state.handshakes
    else:
        accepting.until(lambda: accepting.state.handshakes)
        accepting.listener.close()


def test_bytes_that_come_while_a_client_is_cut(accepting: Accepting) -> None:
    """P2, S31: they change nothing: the connection is closed."""
    accepting.connect()
    accepting.until(lambda: accepting.state.handshakes)
    (client,) = accepting.clients

    async def cut() -> None:
        (task,) = accepting.state.handshakes
        await asyncio.sleep(0)
        client.sendall(b"\x16")
        task.cancel()
        await asyncio.wait([task])

    accepting.run(cut())
    accepting.listener.close()
    with suppress(ConnectionResetError):  # on Linux, for a byte that was not read
        assert client.recv(1) == b""


def test_plain_http_of_a_client_that_stays(
    accepting: Accepting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S2, S31: it has its answer, and some time to read it; then the connection is closed."""
    monkeypatch.setattr(acceptor, "LINGER", 0.5)
    accepting.connect()
    (client,) = accepting.clients
    client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    accepting.until(lambda: accepting.state.handshakes)
    accepting.until(lambda: not accepting.state.handshakes)
    accepting.listener.close()
    assert b"".join(iter(lambda: client.recv(65536), b"")).startswith(b"HTTP/1.1 400 ")
