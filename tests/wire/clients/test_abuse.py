"""Slow and hostile clients: each abuse has a bound in time and in memory (S2)."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.corpus import cases
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, chunked, request
from tests.support.waiting import eventually
from tests.support.websocket import TEXT, WebSocket, frame

ASGI = "tests.support.apps.http_rules:app"
WSGI = "tests.support.apps.wsgi_ways:app"
QUIET = ("--no-access-log", "--log-level=critical")
MiB = 1024 * 1024


@pytest.fixture(params=[ASGI, WSGI], ids=["asgi", "wsgi"])
def host(shared_host: StartHost, request: pytest.FixtureRequest) -> Host:
    times = ("--timeout-header=2", "--timeout-keep-alive=3", "--timeout-write=2")
    # Each endless download holds a thread until it is cut off.
    return shared_host(bridge(request.param, *QUIET, *times, "--timeout-body=2", "--threads=50"))


def memory(host: Host) -> int:
    """The server's resident memory, in bytes (Linux)."""
    pages = int(Path(f"/proc/{host.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def cpu(host: Host) -> float:
    """Seconds of CPU that the server has used (Linux)."""
    fields = Path(f"/proc/{host.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def is_well(host: Host) -> bool:
    """Whether another client is answered."""
    with Client(host.connect()) as client:
        return client.get("/").status == 200


def stalled(client: Client, data: bytes, most: int) -> int:
    """Send `data` again and again until the server stops taking or closes; the bytes taken."""
    client.sock.settimeout(0.5)
    sent = 0
    try:
        while sent < most:
            sent += client.sock.send(data)
    except (TimeoutError, ConnectionError):
        pass
    client.sock.settimeout(10)
    return sent


# ------------------------------------------------------------- many connections


@pytest.fixture
def many() -> Iterator[int]:
    """How many connections this process can open, up to 10,000."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = hard if hard != resource.RLIM_INFINITY else 1 << 20
    yield min(10_000, most - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("app", [ASGI, WSGI], ids=["asgi", "wsgi"])
def test_flood_of_idle_connections(start_host: StartHost, app: str, many: int) -> None:
    """S2: 10,000 idle connections cost at most 6 kB each, also used ones, and nobody waits."""
    host = start_host(bridge(app, *QUIET))
    if app == WSGI:
        many = min(many, 9_000)  # each takes two descriptors of a server that has 20,000
    assert is_well(host)
    before = memory(host)
    clients: list[socket.socket] = []
    try:
        for at in range(many):
            client = socket.socket()
            client.settimeout(10)
            # One address of the loopback has too few ports for many tests at a time.
            client.bind((f"127.0.0.{2 + at % 50}", 0))
            client.connect((host.address, host.port))
            clients.append(client)
        assert is_well(host)
        fresh = (memory(host) - before) / many
        used_count = many // 5
        for client in clients[:used_count]:
            client.sendall(request("/"))
            assert client.recv(4096).endswith(b"hello")
        used = (memory(host) - before) / many
        print(f"{app}: {fresh:.0f} bytes for an idle connection, {used:.0f} with some used")
        assert fresh <= 6000
        assert used <= 6000 + 6000 * used_count / many
        assert is_well(host)
    finally:
        for client in clients:
            client.close()
    eventually(lambda: is_well(host))


def test_connections_that_come_and_go(host: Host) -> None:
    """S2: connections that are reset at once leave nothing behind."""
    is_well(host)
    for _ in range(500):
        Client(host.connect()).reset()
    before = memory(host)
    for _ in range(3000):
        Client(host.connect()).reset()
    assert is_well(host)
    assert memory(host) - before < 3 * MiB


# ------------------------------------------------------------- slow ones


def test_slow_heads(host: Host) -> None:
    """S2: many clients that send their heads byte by byte are all sent away in time."""
    clients = [Client(host.connect()) for _ in range(100)]
    alive = True
    begun = time.monotonic()
    for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 200:
        alive = sum(client.send_pieces([bytes([byte])]) for client in clients) > 0
        if not alive:
            break
        time.sleep(0.05)
    assert not alive
    assert time.monotonic() - begun < 20
    for client in clients:
        client.sock.close()
    assert is_well(host)


def test_slow_bodies_hold_no_threads(host: Host) -> None:
    """S2: many clients whose bodies do not come keep nobody from being answered (W25)."""
    clients = [Client(host.connect()) for _ in range(50)]
    for client in clients:
        client.send(request("/length", "Content-Length: 1000", method="POST") + b"x")
    assert is_well(host)
    for client in clients:
        assert client.response().status == 408
        client.sock.close()


def test_slow_readers(host: Host) -> None:
    """S2: many clients that read nothing are cut off, and cost bounded memory meanwhile."""
    is_well(host)
    before = memory(host)
    clients = [Client(host.connect()) for _ in range(40)]
    for client in clients:
        client.send(request("/pour?abuse"))
    assert is_well(host)
    assert memory(host) - before < 40 * MiB
    eventually(lambda: sockets(host) == 1, timeout=60)  # one that is not cut yet would pour on
    for client in clients:
        client.everything()
        client.sock.close()


def test_readers_of_one_byte(host: Host) -> None:
    """S2: a client with the smallest of windows that never reads holds little."""
    is_well(host)
    before = memory(host)
    clients = []
    for _ in range(40):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.settimeout(10)
        sock.connect((host.address, host.port))
        clients.append(Client(sock))
        clients[-1].send(request("/pour?tiny"))
    assert memory(host) - before < 40 * MiB
    for client in clients:
        client.reset()
    eventually(lambda: is_well(host), timeout=60)


def test_half_open(host: Host) -> None:
    """S2: clients that half-close and never read on are let go."""
    clients = [Client(host.connect()) for _ in range(20)]
    for client, data in zip(
        clients, [b"", b"GET", request("/")[:-2], request("/")] * 5, strict=True
    ):
        client.send_pieces([data])
        client.end_sending()
    for client in clients:
        client.everything()
        client.sock.close()
    assert is_well(host)


# ------------------------------------------------------------- large ones


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"a" * 65536),
        (b"GET / HTTP/1.1\r\nX: ", b"a" * 65536),
        (b"GET / HTTP/1.1\r\n", b"X: a\r\n" * 10_000),
        (b"GET / HTTP/1.1\r\n", b"a" * 65536),
        (b"", b"\r\n" * 30_000),
        (b"", b"\r"),
        (b"", b"\0" * 65536),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 65536),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 65536),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;aaaaaaaaa" * 999),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: a\r\n" * 10_000,
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1;" + b"a" * 200 + b"\r\nx\r\n",
        ),
        (request("/sleep?3"), request("/") * 2000),
        (request("/ignore", "Content-Length: 99999999999", method="POST"), b"x" * 65536),
        (
            request("/ignore", "Transfer-Encoding: chunked", method="POST"),
            b"ffff\r\n" + b"x" * 65535 + b"\r\n",
        ),
    ],
)
def test_endless(host: Host, start: bytes, more: bytes) -> None:
    """S2: whatever is sent without end is refused or left lying; memory and CPU stay bounded."""
    is_well(host)
    before, begun = memory(host), cpu(host)
    with Client(host.connect()) as client:
        client.send_pieces([start])
        stalled(client, more, 20 * MiB)
        assert is_well(host)
    assert memory(host) - before < 12 * MiB
    assert cpu(host) - begun < 3


def test_upload_that_the_app_does_not_read(host: Host) -> None:
    """S2: of a body that the app leaves lying only a little is taken in."""
    is_well(host)
    before = memory(host)
    with Client(host.connect()) as client:
        client.send(request("/sleep?2", "Content-Length: 1000000000", method="POST"))
        taken = stalled(client, b"x" * 65536, 900 * MiB)
        assert taken < 30 * MiB  # most of it lies in the kernel
        assert memory(host) - before < 4 * MiB


def test_tiny_chunks(host: Host) -> None:
    """S2: a body in chunks of one byte, each in a packet of its own, costs what it weighs."""
    begun = cpu(host)
    with Client(host.connect()) as client:
        client.send(request("/length", "Transfer-Encoding: chunked", method="POST"))
        client.send_pieces([b"1\r\nx\r\n"] * 5000)
        client.send(b"0\r\n\r\n")
        assert client.response().body == b"5000"
        client.send(request("/length", "Transfer-Encoding: chunked", method="POST"))
        client.send(chunked(*[b"\r"] * 100_000))
        assert client.response().body == b"100000"
    assert cpu(host) - begun < 3


def test_body_full_of_ends(host: Host) -> None:
    """S2: a chunked body that consists of what ends a body takes time in proportion to its size."""
    begun = cpu(host)
    with Client(host.connect()) as client:
        client.send(request("/length", "Transfer-Encoding: chunked", method="POST"))
        client.send(chunked(*[b"\r\n\r\n" * 15_000] * 20))
        assert client.response().body == b"1200000"
    assert cpu(host) - begun < 3


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 1\r\n" * 98 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"Cookie: a=1\r\n" * 98 + b"\r\n",
        b"GET / HTTP/1.0\r\n" + b"Connection: keep-alive\r\n" * 100 + b"\r\n",
        b"GET / HTTP/1.0\r\nConnection: " + b"keep-alive," * 5900 + b"keep-alive\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + b"127.0.0.1," * 6000 + b"::1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nForwarded: " + b'for="[::1]";a=b,' * 4000 + b"for=x\r\n\r\n",
        b"GET /" + b"%41" * 2700 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /?" + b"a=1&" * 2000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b" " * 60_000 + b"a\r\n\r\n",
    ],
    ids=range(9),
)
def test_costly_heads(host: Host, head: bytes) -> None:
    """S2: heads that are as long as they may be take milliseconds, not seconds."""
    begun = cpu(host)
    for _ in range(20):
        with Client(host.connect()) as client:  # who is refused is closed
            client.send(head)
            assert client.response().status in (200, 400, 500)
    assert cpu(host) - begun < 2


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/quiet", "/chatty"])
def test_flood_behind_the_end_of_a_websocket(start_host: StartHost, path: str) -> None:
    """S20 S2: what comes behind the end of a WebSocket is not kept, nor read for ever."""
    host = start_host(bridge("tests.support.apps.flooded:app", *QUIET))
    with WebSocket(host.connect()) as client:
        assert client.open_handshake(path).status == 101
        before = memory(host)
        client.say(frame(TEXT, b"not masked", mask=None))
        junk, ended, begun = bytes(MiB), False, time.monotonic()
        while not ended and time.monotonic() - begun < 60:
            try:
                client.sock.sendall(junk)
            except OSError:
                ended = True
            assert memory(host) - before < 40 * MiB
        assert ended


# ------------------------------------------------------------- sudden ones


def test_resets_at_every_point(host: Host) -> None:
    """S2: a client that resets after any number of bytes, sent or received, harms nobody."""
    data = request("/length", "Transfer-Encoding: chunked", method="POST") + chunked(b"ab", b"c")
    for at in range(len(data) + 1):
        client = Client(host.connect())
        client.send_pieces([data[:at]])
        client.reset()
    for target in ("/pour?resets", "/", "/ignore", "/sleep?0.01"):
        for count in (0, 1, 10, 100, 100_000):
            client = Client(host.connect())
            client.send(request(target) * 2)
            client.sock.settimeout(1)
            while count > 0 and (got := len(client.sock.recv(min(count, 65536)))):
                count -= got
                if target != "/pour?resets":
                    break
            client.reset()
    assert is_well(host)


def test_corpus_without_manners(host: Host) -> None:
    """S2: every case of the corpus, reset at once: no error of ours, nothing left behind."""
    said = host.log_size()
    for case in cases():
        client = Client(host.connect())
        client.send_pieces([case.data])
        client.reset()
    assert is_well(host)
    log = host.log(said)
    assert "Traceback" not in log, log[-3000:]


def test_nothing_is_left_behind(start_host: StartHost) -> None:
    """S2: when all of that is over, no connection is left."""
    host = start_host(bridge(ASGI, *QUIET, "--timeout-keep-alive=1"))
    is_well(host)
    eventually(lambda: sockets(host) == 1)
    for case in list(cases())[::3]:
        with Client(host.connect()) as client:
            client.send_pieces([case.data])
    eventually(lambda: sockets(host) == 1, timeout=30)


def sockets(host: Host) -> int:
    """How many TCP sockets the server has open: one listens (Linux)."""
    inodes = {line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]}
    count = 0
    for entry in Path(f"/proc/{host.process.pid}/fd").iterdir():
        try:
            name = entry.readlink().name
        except OSError:
            continue
        count += name.startswith("socket:") and name[8:-1] in inodes
    return count
