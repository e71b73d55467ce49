"""Clients that ask for much, one request behind another, and read little or nothing (S1)."""

from __future__ import annotations

import signal
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from tests.conftest import StartHost
from tests.support.hosts import BRIDGE_WORKER, Command, Host, bridge, gunicorn
from tests.support.processes import children
from tests.support.raw import Client, request
from tests.support.waiting import eventually

APPS = "tests.support.apps.sized"
MB = 1_000_000
KINDS = {
    "thread": ("wsgi", "--runner=thread"),
    "greenlet": ("wsgi", "--runner=greenlet"),
    "inline": ("wsgi", "--runner=inline"),
    "asgi": ("asgi", "--pathsend"),
}
QUIET = ("--no-access-log", "--log-level=error")
each_kind = pytest.mark.parametrize("kind", KINDS)
plain_and_tls = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
Certified = tuple[str, ssl.SSLContext]


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """The server's option, and what its clients trust."""
    authority, path = trustme.CA(), tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return f"--ssl-certfile={path}", context


class Site:
    """A server of responses by size, and its clients."""

    def __init__(self, host: Host, context: ssl.SSLContext | None) -> None:
        self.host = host
        self.context = context
        self.open = ExitStack()

    def client(self) -> Client:
        sock = self.host.connect(timeout=30)
        if self.context is not None:
            sock = self.context.wrap_socket(sock, server_hostname="127.0.0.1")
        return self.open.enter_context(Client(sock))

    def asks(self, target: str, count: int, version: bytes = b"HTTP/1.1") -> Client:
        """A client that has sent so many requests, or as many as the server takes."""
        client = self.client()
        if version == b"HTTP/1.1":
            data = request(target)
        else:
            data = b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" % target.encode()
        client.sock.settimeout(0.5)
        try:
            client.sock.sendall(data * count)
        except TimeoutError:
            pass
        client.sock.settimeout(30)
        return client

    def begun(self) -> int:
        """How many responses have been begun."""
        with self.client() as other:
            return int(other.get("/begun").body)

    def settled(self) -> int:
        """The same, when no more are begun."""
        before, now = -1, self.begun()
        while now != before:
            time.sleep(0.1)  # a server that goes on does so at once
            before, now = now, self.begun()
        return now

    def memory(self) -> int:
        """The resident memory of all processes of the server, in bytes (Linux)."""
        pids = [self.host.process.pid]
        for pid in pids:
            pids += children(pid)
        status = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
        return sum(int(text.partition("VmRSS:")[2].split()[0]) * 1024 for text in status)


def command_of(kind: str, *options: str) -> Command:
    app, option = KINDS[kind]
    return bridge(f"{APPS}:{app}", option, *QUIET, *options)


@pytest.fixture
def site(shared_host: StartHost, kind: str, tls: bool, certified: Certified) -> Iterator[Site]:
    option, context = certified
    host = shared_host(command_of(kind, *((option,) if tls else ())))
    site = Site(host, context if tls else None)
    with site.open:
        site.client().get("/whole?100000")  # what is loaded once is loaded
        yield site


# ------------------------------------------------------------- memory


@each_kind
@plain_and_tls
@pytest.mark.parametrize("way", ["whole", "list", "small", "large", "file"])
def test_large_responses_that_nobody_reads(site: Site, way: str) -> None:
    """S1 W39 S12: of 500 MB that a client asks for and does not read, few are made."""
    before, first = site.memory(), site.begun()
    client = site.asks(f"/{way}?{MB}", 500)
    assert site.settled() - first < 50
    assert site.memory() - before < 50 * MB
    client.reset()


@each_kind
@plain_and_tls
def test_many_responses_that_nobody_reads(site: Site) -> None:
    """S1: so it is with many small responses; and with HTTP/1.0 that is kept alive."""
    before, first = site.memory(), site.begun()
    clients = [site.asks("/whole?10000", 8000), site.asks(f"/whole?{MB}", 200, b"HTTP/1.0")]
    assert site.settled() - first < 2000
    assert site.memory() - before < 50 * MB
    for client in clients:
        client.reset()


@each_kind
@plain_and_tls
def test_uploads_of_a_client_that_does_not_read(site: Site) -> None:
    """S1 W26: nor are the bodies of requests read on that wait behind such a response."""
    before, first = site.memory(), site.begun()
    client = site.client()
    client.sock.settimeout(0.5)
    data, sent = request(f"/whole?{MB}", method="POST", body=bytes(MB // 20)), 0
    try:
        for _ in range(2000):
            client.sock.sendall(data)
            sent += len(data)
    except TimeoutError:
        pass
    assert sent < 50 * MB  # most of it lies in the kernel
    assert site.settled() - first < 50
    assert site.memory() - before < 50 * MB
    client.reset()


@each_kind
@plain_and_tls
def test_many_such_clients(site: Site) -> None:
    """S1: a hundred of them cost what their sockets hold, and keep nobody from being answered."""
    before = site.memory()
    clients = [site.asks("/whole?100000", 100) for _ in range(100)]
    site.settled()
    assert site.memory() - before < 150 * MB  # they ask for 1,000
    for client in clients:
        client.reset()
    assert site.client().get("/whole?1000").status == 200


@each_kind
@plain_and_tls
@pytest.mark.parametrize("way", ["whole", "large", "file"])
def test_a_client_that_reads_late(site: Site, way: str) -> None:
    """S1: a client that reads at last gets all its responses, in order and whole."""
    first = site.begun()
    client = site.asks(f"/{way}?{MB}", 30)
    assert site.settled() - first < 30
    for number in range(first + 1, first + 31):
        assert client.response().body == b"%08d" % number + bytes(MB - 8)


@each_kind
@plain_and_tls
@pytest.mark.parametrize("reads", [0, 1, 3 * MB])
def test_a_client_that_leaves(site: Site, reads: int) -> None:
    """S1 W40: what a client that has left still waited for is not begun."""
    first = site.begun()
    client = site.asks(f"/whole?{MB}", 200)
    if reads:
        client.exactly(reads)
    client.reset()
    assert site.settled() - first < 50


# ------------------------------------------------------------- time


@pytest.mark.slow
@each_kind
@plain_and_tls
def test_a_client_that_never_reads(
    start_host: StartHost, kind: str, tls: bool, certified: Certified
) -> None:
    """S2: it is cut after `timeout_write`; what waits behind the response is not begun then."""
    option, context = certified
    host = start_host(command_of(kind, "--timeout-write=1", *((option,) if tls else ())))
    site = Site(host, context if tls else None)
    with site.open:
        client = site.asks(f"/whole?{MB}", 200)
        begun = site.settled()
        eventually(lambda: not is_open(site.host, client))
        assert site.settled() == begun < 50


def is_open(host: Host, client: Client) -> bool:
    """Whether the server has that connection still (Linux)."""
    ends = f"{host.port:04X}", f"{client.sock.getsockname()[1]:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if (local[-4:], remote[-4:], state) == (*ends, "01"):
            return True
    return False


def ends(host: Host) -> int:
    """SIGTERM; the exit code."""
    host.process.send_signal(signal.SIGTERM)
    try:
        return host.process.wait(15)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{host} does not stop")


@each_kind
@plain_and_tls
@pytest.mark.parametrize("way", ["whole", "large"])
def test_stop_with_a_client_that_never_reads(
    start_host: StartHost, kind: str, tls: bool, way: str, certified: Certified
) -> None:
    """P2: such a client holds the stop for the graceful time, and not longer."""
    option, context = certified
    options = (option,) if tls else ()
    host = start_host(command_of(kind, "--timeout-graceful-shutdown=0.5", *options))
    site = Site(host, context if tls else None)
    with site.open:
        site.asks(f"/{way}?{MB}", 200)
        site.settled()
        assert ends(host) == 0
    assert "Traceback" not in host.log()


@pytest.mark.parametrize("app", ["wsgi", "asgi"])
def test_gunicorn(start_host: StartHost, app: str) -> None:
    """P10 S1: so it is with Gunicorn's worker, its memory and its stop."""
    command = gunicorn(f"{APPS}:{app}", "--graceful-timeout=1", worker=BRIDGE_WORKER)
    site = Site(start_host(command), None)
    with site.open:
        site.client().get("/whole?100000")
        before = site.memory()
        site.asks(f"/whole?{MB}", 500)
        assert site.settled() < 50
        assert site.memory() - before < 50 * MB
        assert ends(site.host) == 0
