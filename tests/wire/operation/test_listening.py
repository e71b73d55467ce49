"""The server at every kind of address, over the wire."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.server import Config, Server
from tests.conftest import StartHost
from tests.support.hosts import ROOT, Command, Host, bridge, python
from tests.support.waiting import eventually, listens

HELLO = "tests.support.apps.hello:asgi"
CONNECTION = "tests.support.apps.connection"


def bound(target: str, *binds: str, options: tuple[str, ...] = ()) -> Command:
    """Our server at 127.0.0.1:{port} and at `binds`."""
    flags = [flag for bind in ("127.0.0.1:{port}", *binds) for flag in ("-b", bind)]
    return python("bridge", "-m", "bridge", "serve", target, *flags, *options)


def get(transport: httpx.HTTPTransport, path: str = "/") -> httpx.Response:
    with httpx.Client(transport=transport, timeout=10) as client:
        return client.get(f"http://localhost{path}")


def test_banner(start_host: StartHost) -> None:
    """S51: the banner tells where the server runs, once it takes connections."""
    host = start_host(bridge(HELLO))
    banner = f"asgi-bridge running on {host.url('')} (Press CTRL+C to quit)"
    eventually(lambda: banner in host.log())


def test_addresses_in_python(tmp_path: Path) -> None:
    """S51: a program asks the server where it is, with a port that the system has chosen, too."""
    path = str(tmp_path / "app.sock")
    server = Server(Config(app=HELLO, bind=("127.0.0.1:0", f"unix:{path}")))

    async def main() -> None:
        assert server.addresses == []
        serving = asyncio.create_task(server.serve())
        while not server.addresses:
            await asyncio.sleep(0.01)
            assert not serving.done()
        (host, port), unix = server.addresses
        assert (host, unix) == ("127.0.0.1", path)
        _, writer = await asyncio.open_connection(host, port)
        writer.close()
        server.request_stop()
        await serving
        assert server.addresses == []

    asyncio.run(main())


@pytest.mark.parametrize("kind", ["asgi", "wsgi"])
def test_tcp_and_unix_together(start_host: StartHost, tmp_path: Path, kind: str) -> None:
    """S30: one server at a port and at a path; the path is gone when it ends."""
    path = tmp_path / "app.sock"
    command = bound(f"{CONNECTION}:{kind}", f"unix:{path}", options=("--uds-mode", "600"))
    host = start_host(command)
    eventually(lambda: listens(path))  # the port is open a moment before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tcp = httpx.get(host.url("/")).json()
    unix = get(httpx.HTTPTransport(uds=str(path))).json()
    if kind == "asgi":
        assert tcp["server"] == ["127.0.0.1", host.port]
        assert unix["client"] is None
        assert unix["server"] == [str(path), None]
    else:
        assert tcp["REMOTE_ADDR"] == "127.0.0.1"
        assert unix["SERVER_PORT"]
    assert host.stop() == 0
    assert not path.exists()


def test_a_killed_server_s_socket_is_replaced(start_host: StartHost, tmp_path: Path) -> None:
    """S30: a server starts at the path that a killed one left behind."""
    path = tmp_path / "app.sock"
    first = start_host(bound(HELLO, f"unix:{path}"))
    first.kill()
    assert path.exists()
    start_host(bound(HELLO, f"unix:{path}"))
    assert get(httpx.HTTPTransport(uds=str(path))).text == "Hello, world!"


def test_port_in_use(start_host: StartHost) -> None:
    """S30: a second server at the same port ends at once, and says what to do."""
    host = start_host(bridge(HELLO))
    done = subprocess.run(
        [sys.executable, "-m", "bridge", "serve", HELLO, "--port", str(host.port)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{host.port}: another process listens there" in done.stderr
    assert "Traceback" not in done.stderr


def run_with_sockets(argv: list[str], fds: tuple[int, ...], **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv, pass_fds=fds, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL
    )


def test_inherited_socket(tmp_path: Path) -> None:
    """S30: a socket that the parent bound is served, and a Unix one is left to the parent."""
    path = tmp_path / "app.sock"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        fds = tcp.fileno(), unix.fileno()
        binds = [word for fd in fds for word in ("-b", f"fd://{fd}")]
        process = run_with_sockets([sys.executable, "-m", "bridge", "serve", HELLO, *binds], fds)
        try:
            port = tcp.getsockname()[1]
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text == "Hello, world!"
            assert get(httpx.HTTPTransport(uds=str(path))).text == "Hello, world!"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert path.exists()


SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "bridge", "serve", *sys.argv[2:]])
"""


def options_of_the_unit() -> list[str]:
    """What the service of the how-to gives the server, behind the app."""
    page = (ROOT / "docs" / "howto" / "start-by-systemd.md").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", page, re.M)
    program, serve, app, *options = shlex.split(command)
    assert (Path(program).name, serve, app) == ("asgi-bridge", "serve", "shop:app")
    return [option.replace(":9000", ":0") for option in options]


@pytest.mark.parametrize(
    "options", [options_of_the_unit(), ["--bind", "fd://3"], ["-b", "fd://3", "-b", "fd://3"]]
)
def test_systemd_socket(options: list[str]) -> None:
    """S30: a socket passed as systemd does it is served in place of host and port, and once."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        process = run_with_sockets(
            [sys.executable, "-c", SYSTEMD, str(sock.fileno()), HELLO, *options], (sock.fileno(),)
        )
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text == "Hello, world!"
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0


# ------------------------------------------------------------- PROXY protocol

V1 = b"PROXY TCP4 203.0.113.9 198.51.100.1 51234 443\r\n"
V2 = (
    b"\r\n\r\n\x00\r\nQUIT\n\x21\x11"
    + struct.pack("!H", 12)
    + bytes([203, 0, 113, 9, 198, 51, 100, 1])
    + struct.pack("!HH", 51234, 443)
)
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def talk(host: Host, *pieces: bytes) -> bytes:
    """Send `pieces` one after the other, and read to the end."""
    with host.connect() as sock:
        for piece in pieces:
            sock.sendall(piece)
        answer = b""
        while data := sock.recv(65536):
            answer += data
        return answer


def answered(answer: bytes) -> Any:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    return json.loads(body)


@pytest.fixture
def proxied(shared_host: StartHost) -> Host:
    return shared_host(bridge(f"{CONNECTION}:asgi", "--proxy-protocol"))


@pytest.mark.parametrize("header", [V1, V2], ids=["v1", "v2"])
def test_proxy_protocol(proxied: Host, header: bytes) -> None:
    """S30: the client and the server are those that the PROXY header names."""
    for pieces in ([header + REQUEST], [header, REQUEST], [bytes([b]) for b in header + REQUEST]):
        answer = answered(talk(proxied, *pieces))
        assert answer["client"] == ["203.0.113.9", 51234]
        assert answer["server"] == ["198.51.100.1", 443]


def test_proxy_protocol_for_wsgi(start_host: StartHost) -> None:
    """S30: a WSGI app sees the client that the PROXY header names."""
    host = start_host(bridge(f"{CONNECTION}:wsgi", "--proxy-protocol"))
    answer = answered(talk(host, V2 + REQUEST))
    assert answer["REMOTE_ADDR"] == "203.0.113.9"
    assert answer["REMOTE_PORT"] == "51234"


def test_proxy_protocol_for_the_proxy_itself(proxied: Host) -> None:
    """S30: a proxy's own connection keeps its own addresses."""
    answer = answered(talk(proxied, LOCAL + REQUEST))
    assert answer["client"][0] == "127.0.0.1"
    assert answer["server"] == ["127.0.0.1", proxied.port]


def test_the_named_client_is_not_trusted_as_the_proxy_is(proxied: Host) -> None:
    """S30, S32: what the client behind a PROXY header says of others is not believed."""
    request = REQUEST.replace(b"Host", b"X-Forwarded-For: 192.0.2.1\r\nHost")
    assert answered(talk(proxied, V1 + request))["client"][0] == "203.0.113.9"


UNIX = b"\r\n\r\n\x00\r\nQUIT\n\x21\x31" + struct.pack("!H", 216) + bytes(216)


@pytest.mark.parametrize("header", [UNIX, b"PROXY UNKNOWN\r\n"], ids=["unix", "unknown"])
def test_a_client_that_is_not_named_is_not_trusted(proxied: Host, header: bytes) -> None:
    """S30, S32: who has no address behind a proxy is on no Unix socket of ours."""
    request = REQUEST.replace(b"Host", b"X-Forwarded-For: 192.0.2.1\r\nHost")
    assert b"192.0.2.1" not in talk(proxied, header + request)


@pytest.mark.parametrize("allowed", ["10.9.9.9", "unix"])
def test_a_proxy_that_is_not_named(allowed: str, tmp_path: Path) -> None:
    """S30: a PROXY header is taken from the proxies that are named, and from nobody else."""
    path = tmp_path / "app.sock"
    options = "--proxy-protocol", f"--proxy-protocol-allow-ips={allowed}"
    # The port answers nobody, so that it cannot tell when the server is ready.
    with socket.create_server(("127.0.0.1", 0)) as tcp:
        command = [sys.executable, "-m", "bridge", "serve", f"{CONNECTION}:asgi", *options]
        binds = ["-b", f"fd://{tcp.fileno()}", "-b", f"unix:{path}"]
        process = run_with_sockets([*command, *binds], (tcp.fileno(),))
        try:
            with socket.create_connection(tcp.getsockname(), timeout=30) as sock:
                assert cut_off(sock)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(path))
                if allowed == "unix":
                    sock.sendall(V1 + REQUEST)
                    assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
                else:
                    assert cut_off(sock)
        finally:
            process.terminate()
            assert process.wait(20) == 0


def cut_off(sock: socket.socket) -> bool:
    """Whether the server closes the connection without an answer to a request."""
    try:
        sock.sendall(V1 + REQUEST)
        return sock.recv(100) == b""
    except (ConnectionResetError, BrokenPipeError):
        return True


@pytest.mark.parametrize("start", [REQUEST, b"PROXY TCP4 x\r\n" + REQUEST, b"\x16\x03\x01\x02"])
def test_a_connection_without_the_header(proxied: Host, start: bytes) -> None:
    """S30: without a right PROXY header nothing is served, and the connection is closed."""
    with proxied.connect() as sock:
        sock.sendall(start)
        answer = b""
        try:
            while data := sock.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
    assert not answer.startswith(b"HTTP/1.1 200")
    assert answered(talk(proxied, V1 + REQUEST))["client"][0] == "203.0.113.9"
