"""Listening sockets: every kind of address, what is left behind, and what the errors say."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.network import listeners as module
from bridge.server.network.listeners import Listener, banner, open_listeners
from tests.support.hosts import ROOT


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(opened: ExitStack, *bind: str, **settings: object) -> list[Listener]:
    listeners = open_listeners(Config(bind=bind, **settings))
    for listener in listeners:
        opened.callback(listener.close)
    return listeners


def greet(listener: Listener) -> bytes:
    """Connect to `listener` as a client, and give back what arrives through an accept."""
    name = listener.socket.getsockname()
    with socket.socket(listener.socket.family) as client:
        client.settimeout(5)
        client.connect(name)
        listener.socket.settimeout(5)
        accepted, _ = listener.socket.accept()
        with accepted:
            client.sendall(b"hello")
            return accepted.recv(5, socket.MSG_WAITALL)


# ------------------------------------------------------------- TCP


def test_host_and_port(opened: ExitStack) -> None:
    """S30: with nothing bound, host and port are listened on; port 0 takes a free one."""
    (listener,) = listen(opened, host="127.0.0.1", port=0)
    port = listener.socket.getsockname()[1]
    assert port != 0
    assert listener.describe() == f"http://127.0.0.1:{port}"
    assert greet(listener) == b"hello"
    assert not listener.is_unix


def test_socket_options(opened: ExitStack) -> None:
    """S30: a listener never blocks, is not inherited, restarts at once, and sends at once."""
    (listener,) = listen(opened, "127.0.0.1:0")
    sock = listener.socket
    assert sock.getblocking() is False
    assert sock.get_inheritable() is False
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    with socket.create_connection(sock.getsockname()):
        sock.settimeout(5)
        accepted, _ = sock.accept()
        with accepted:
            if sys.platform == "linux":
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not inherited")
def test_a_client_that_does_not_read(opened: ExitStack) -> None:
    """W39: the system takes a response of 1 MiB for it, but not megabytes more."""
    (listener,) = listen(opened, "127.0.0.1:0")
    listener.socket.setblocking(True)
    with socket.create_connection(listener.socket.getsockname()):
        accepted, _ = listener.socket.accept()
        with accepted:
            accepted.setblocking(False)
            taken, megabyte = 0, bytes(1024 * 1024)
            while select.select([], [accepted], [], 0.1)[1]:
                taken += accepted.send(megabyte)
    assert len(megabyte) <= taken < 2 * len(megabyte)


def test_addresses(opened: ExitStack, tmp_path: Path) -> None:
    """S30: host and port, with the port that was taken for 0; or the path."""
    path = tmp_path / "app.sock"
    tcp, unix = listen(opened, "127.0.0.1:0", f"unix:{path}")
    assert tcp.address == tcp.socket.getsockname()
    assert unix.address == str(path)


def test_several_at_once(opened: ExitStack, tmp_path: Path) -> None:
    """S30, S51: several addresses are listened on together, and the banner names all."""
    path = tmp_path / "app.sock"
    listeners = listen(opened, "127.0.0.1:0", f"unix:{path}", "127.0.0.1:0")
    assert [greet(each) for each in listeners] == [b"hello"] * 3
    one, two = (listeners[at].socket.getsockname()[1] for at in (0, 2))
    assert banner(listeners) == (
        f"asgi-bridge running on http://127.0.0.1:{one}, unix:{path}, http://127.0.0.1:{two} "
        "(Press CTRL+C to quit)"
    )


def test_banner(opened: ExitStack) -> None:
    """S51: the banner is the line that people and tools look for."""
    listeners = listen(opened, "127.0.0.1:0")
    port = listeners[0].socket.getsockname()[1]
    assert (
        banner(listeners)
        == f"asgi-bridge running on http://127.0.0.1:{port} (Press CTRL+C to quit)"
    )


@needs_ipv6
def test_ipv6(opened: ExitStack) -> None:
    """S30: IPv6 addresses, in brackets, as a bind or as the host."""
    (listener,) = listen(opened, "[::1]:0")
    assert listener.describe() == f"http://[::1]:{listener.socket.getsockname()[1]}"
    assert greet(listener) == b"hello"
    (listener,) = listen(opened, host="::1", port=0)
    assert greet(listener) == b"hello"


@needs_ipv6
def test_every_address(opened: ExitStack) -> None:
    """S30: `[::]` takes IPv4 clients too, unless an IPv4 address has the same port."""
    (both,) = listen(opened, "[::]:0")
    assert both.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0
    with socket.create_connection(("127.0.0.1", both.socket.getsockname()[1]), 5):
        pass
    port = both.socket.getsockname()[1]
    both.close()
    four, six = listen(opened, f"0.0.0.0:{port}", f"[::]:{port}")
    assert four.describe() == f"http://0.0.0.0:{port}"
    assert six.socket.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


@pytest.mark.parametrize("spec", [":0", "*:0", "localhost:0"])
def test_names_of_several_addresses(spec: str, opened: ExitStack) -> None:
    """S30: each address of a name is listened on, all with one port; a missing family is not
    an error."""
    listeners = listen(opened, spec)
    ports = {each.socket.getsockname()[1] for each in listeners}
    assert len(ports) == 1
    assert socket.AF_INET in {each.socket.family for each in listeners}
    with socket.create_connection(("127.0.0.1", ports.pop()), 5):
        pass


def test_tls_in_the_banner(opened: ExitStack) -> None:
    """S51: with a certificate the banner says https."""
    (listener,) = listen(opened, "127.0.0.1:0", ssl_certfile="cert.pem")
    assert listener.describe().startswith("https://127.0.0.1:")


def test_port_in_use(opened: ExitStack) -> None:
    """S30: a port in use says so, and what to do."""
    (first,) = listen(opened, "127.0.0.1:0")
    port = first.socket.getsockname()[1]
    with pytest.raises(ConfigError, match=f"127.0.0.1:{port}: another process .* --port"):
        listen(opened, f"127.0.0.1:{port}")


def test_nothing_stays_open_after_an_error(opened: ExitStack, tmp_path: Path) -> None:
    """S30: if one of several addresses fails, none is left open or in the file system."""
    (taken,) = listen(opened, "127.0.0.1:0")
    path = tmp_path / "app.sock"
    port = taken.socket.getsockname()[1]
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    with pytest.raises(ConfigError):
        listen(opened, f"unix:{path}", "127.0.0.1:0", f"127.0.0.1:{port}")
    assert not path.exists()
    if sys.platform == "linux":
        assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("8000", "give host:port"),
        ("localhost", "give host:port"),
        ("localhost:", "give host:port"),
        ("localhost:http", "give host:port"),
        ("localhost:65536", "give host:port"),
        ("localhost:²", "give host:port"),
        ("::1:8000", "give host:port"),
        ("name.invalid:8000", "unknown here"),
        ("x" * 70 + ".example:8000", "unknown here"),
        ("192.0.2.1:0", "no such address"),
        ("unix:", "give the path"),
        ("fd://", "give the number"),
        ("fd://x", "give the number"),
        ("fd://99999", "no socket of this process"),
        ("fd://99999999999999999999", "no socket of this process"),
        ("unix:/no/such/directory/app.sock", "directory does not exist"),
        ("unix:/tmp/" + "x" * 120, "too long"),
    ],
)
def test_wrong_specs(spec: str, text: str, opened: ExitStack) -> None:
    """S30: a wrong address is the operator's error, and the text names it."""
    with pytest.raises(ConfigError, match=text) as caught:
        listen(opened, spec)
    assert spec[:40] in str(caught.value)


# ------------------------------------------------------------- Unix sockets


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777])
def test_unix_mode(mode: int, opened: ExitStack, tmp_path: Path) -> None:
    """S30: a Unix socket has exactly the mode that is set, whatever the umask is."""
    path = tmp_path / "app.sock"
    mask = os.umask(0o077)
    try:
        (listener,) = listen(opened, f"unix:{path}", uds_mode=mode)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert listener.is_unix
    assert listener.describe() == f"unix:{path}"
    assert greet(listener) == b"hello"


def test_unix_url(opened: ExitStack, tmp_path: Path) -> None:
    """S30: `unix://` before a path is understood too."""
    (listener,) = listen(opened, f"unix://{tmp_path}/app.sock")
    assert listener.describe() == f"unix:{tmp_path}/app.sock"


def test_unix_socket_is_removed_at_exit(opened: ExitStack, tmp_path: Path) -> None:
    """S30: closing removes the socket; closing twice is harmless."""
    path = tmp_path / "app.sock"
    (listener,) = listen(opened, f"unix:{path}")
    listener.close()
    assert not path.exists()
    path.write_text("somebody else's")
    listener.close()
    assert path.exists()


def test_a_relative_path_survives_a_change_of_directory(
    opened: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S30: the socket is removed from where it was made."""
    monkeypatch.chdir(tmp_path)
    (listener,) = listen(opened, "unix:app.sock")
    monkeypatch.chdir("/")
    listener.close()
    assert not (tmp_path / "app.sock").exists()


def test_a_stale_socket_is_replaced(opened: ExitStack, tmp_path: Path) -> None:
    """S30: the socket of a server that was killed is not in the way."""
    path = tmp_path / "app.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.listen()
    dead.close()
    (listener,) = listen(opened, f"unix:{path}")
    assert greet(listener) == b"hello"


def test_a_directory_that_somebody_else_has_locked(
    opened: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S30: the lock is asked for again and again, and after a while it goes on without."""
    monkeypatch.setattr(module, "_LOCK_PAUSE", 0.001)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (listener,) = listen(opened, f"unix:{tmp_path / 'app.sock'}")
        assert greet(listener) == b"hello"
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o777])
@pytest.mark.parametrize("mask", [0o022, 0o777])
def test_the_mode_comes_with_the_socket(
    opened: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, mask: int
) -> None:
    """S30: the mode is there from the first moment, and never set on what is at the path later."""
    monkeypatch.setattr(os, "chmod", None)
    path = tmp_path / "app.sock"
    before = os.umask(mask)
    try:
        listen(opened, f"unix:{path}", uds_mode=mode)
        assert os.umask(before) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


STARTER = """
import sys
from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.network.listeners import open_listeners
print("ready", flush=True)
sys.stdin.readline()
try:
    listeners = open_listeners(Config(bind=[f"unix:{sys.argv[1]}"]))
except ConfigError as error:
    print("refused", flush=True)
else:
    print("listens", flush=True)
    sys.stdin.readline()
"""


def test_of_several_servers_one_gets_the_socket(tmp_path: Path) -> None:
    """S30: servers that start together do not take each other's new socket for a stale one."""
    path = tmp_path / "app.sock"
    with ExitStack() as running:
        starters = [
            running.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", STARTER, str(path)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    cwd=ROOT,
                )
            )
            for _ in range(4)
        ]
        assert [one.stdout.readline() for one in starters] == [b"ready\n"] * 4  # type: ignore[union-attr]
        for one in starters:
            one.stdin.write(b"go\n")  # type: ignore[union-attr]
            one.stdin.flush()  # type: ignore[union-attr]
        said = sorted(one.stdout.readline() for one in starters)  # type: ignore[union-attr]
        assert said == [b"listens\n"] + [b"refused\n"] * 3
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_live_socket_is_left_alone(opened: ExitStack, tmp_path: Path) -> None:
    """S30: a socket on which somebody listens is in use, also if its queue is full."""
    path = tmp_path / "app.sock"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen(0)
        with ExitStack() as clients:
            for _ in range(3):
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                assert client.connect_ex(str(path)) in (0, errno.EAGAIN)
                with pytest.raises(ConfigError, match="another process listens there"):
                    listen(opened, f"unix:{path}")
    assert path.exists()


def test_a_file_is_never_removed(opened: ExitStack, tmp_path: Path) -> None:
    """S30: what is no socket is not ours to remove, a link to a socket included."""
    path = tmp_path / "precious.txt"
    path.write_text("data")
    with pytest.raises(ConfigError, match="no socket is in the way"):
        listen(opened, f"unix:{path}")
    link = tmp_path / "link.sock"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="no socket is in the way"):
        listen(opened, f"unix:{link}")
    assert path.read_text() == "data"


def test_a_successor_s_socket_is_left_alone(opened: ExitStack, tmp_path: Path) -> None:
    """S30: at exit the path is removed only if it still is the socket made here."""
    path = tmp_path / "app.sock"
    (old,) = listen(opened, f"unix:{path}")
    path.unlink()
    (new,) = listen(opened, f"unix:{path}")
    old.close()
    assert path.exists()
    assert greet(new) == b"hello"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_child_does_not_take_its_parent_s_socket_away(opened: ExitStack, tmp_path: Path) -> None:
    """S30: a forked worker that closes its copy leaves the path to the parent."""
    path = tmp_path / "app.sock"
    (listener,) = listen(opened, f"unix:{path}")
    child = os.fork()
    if child == 0:
        listener.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert greet(listener) == b"hello"


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_abstract_names(opened: ExitStack) -> None:
    """S30: `unix:@name` listens on an abstract name, which leaves no file."""
    name = f"@asgi-bridge-test-{os.getpid()}"
    (listener,) = listen(opened, f"unix:{name}")
    assert listener.describe() == f"unix:{name}"
    assert greet(listener) == b"hello"
    with pytest.raises(ConfigError, match="another process listens there"):
        listen(opened, f"unix:{name}")


# ------------------------------------------------------------- inherited sockets


def test_an_inherited_socket(opened: ExitStack) -> None:
    """S30: `fd://N` takes a bound socket over, whether it listens already or not."""
    for start in (lambda sock: None, lambda sock: sock.listen()):
        parent = socket.create_server(("127.0.0.1", 0))
        start(parent)
        port = parent.getsockname()[1]
        (listener,) = listen(opened, f"fd://{parent.detach()}")
        assert listener.describe() == f"http://127.0.0.1:{port}"
        assert listener.socket.get_inheritable() is False
        assert greet(listener) == b"hello"


def test_an_inherited_unix_socket_is_not_removed(opened: ExitStack, tmp_path: Path) -> None:
    """S30: the path of an inherited socket belongs to the process that made it."""
    path = tmp_path / "app.sock"
    parent = socket.socket(socket.AF_UNIX)
    parent.bind(str(path))
    (listener,) = listen(opened, f"fd://{parent.detach()}")
    assert greet(listener) == b"hello"
    listener.close()
    assert path.exists()


def test_descriptors_that_are_no_sockets(opened: ExitStack) -> None:
    """S30: a pipe, a datagram socket and a connected socket are refused, and stay open."""
    reader, writer = os.pipe()
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        with pytest.raises(ConfigError, match="no socket of this process"):
            listen(opened, f"fd://{reader}")
        with pytest.raises(ConfigError, match="no TCP or Unix stream socket"):
            listen(opened, f"fd://{datagram.fileno()}")
        os.fstat(reader)
        os.fstat(datagram.fileno())
    finally:
        os.close(reader)
        os.close(writer)
        datagram.close()
    one, two = socket.socketpair()
    with two, pytest.raises(ConfigError, match="cannot listen on fd"):
        listen(opened, f"fd://{one.detach()}")


SYSTEMD = """
import os, socket, sys
from bridge.server.config.config import Config
from bridge.server.network.listeners import open_listeners

first = socket.socket(fileno=int(sys.argv[1]))
second = socket.socket(fileno=int(sys.argv[2]))
keep = os.dup(first.fileno()), os.dup(second.fileno())
first.close(), second.close()
for at, fd in enumerate(keep):
    os.dup2(fd, 3 + at)
os.environ["LISTEN_FDS"] = "2"
os.environ["LISTEN_PID"] = str(os.getpid() + int(sys.argv[3]))
for listener in open_listeners(Config(port=0, bind=sys.argv[4:])):
    print(listener.describe(), listener.socket.fileno(), listener.socket.get_inheritable())
"""


def systemd(shift: int, *bind: str) -> tuple[list[str], list[int]]:
    """What a process prints that gets two sockets as systemd passes them."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    fds = [sock.fileno() for sock in socks]
    try:
        done = subprocess.run(
            [sys.executable, "-c", SYSTEMD, *map(str, fds), str(shift), *bind],
            pass_fds=fds,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.splitlines(), [sock.getsockname()[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()


def test_systemd_sockets() -> None:
    """S30: systemd's sockets take the place of host and port."""
    lines, (one, two) = systemd(0)
    assert lines == [f"http://127.0.0.1:{one} 3 False", f"http://127.0.0.1:{two} 4 False"]


def test_systemd_sockets_beside_others() -> None:
    """S30: what is bound explicitly is listened on beside systemd's sockets."""
    lines, _ = systemd(0, "127.0.0.1:0")
    assert len(lines) == 3


@pytest.mark.parametrize(
    "bind", [["fd://3"], ["fd://4", "fd://3"], ["fd://3", "fd://3"]], ids=" ".join
)
def test_systemd_sockets_that_are_bound_once_more(bind: list[str]) -> None:
    """S30: a descriptor that systemd passed and that `bind` names too is one listener."""
    lines, (one, two) = systemd(0, *bind)
    assert lines == [f"http://127.0.0.1:{one} 3 False", f"http://127.0.0.1:{two} 4 False"]


def test_a_descriptor_that_is_named_twice() -> None:
    """S30: without systemd's word, too: it is listened on once."""
    lines, (one, _) = systemd(1, "fd://3", "fd://3")
    assert lines == [f"http://127.0.0.1:{one} 3 False"]


def test_only_one_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    """O1: what monitors ask is plain HTTP, and none of the sockets that apps are served at."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    config = Config(bind=("unix:/no/where",), ssl_certfile="cert.pem")
    (listener,) = open_listeners(config, "127.0.0.1:0")
    assert listener.describe().startswith("http://127.0.0.1:")
    listener.close()


def test_systemd_sockets_of_another_process() -> None:
    """S30: LISTEN_FDS with another process's LISTEN_PID is not for us."""
    lines, ports = systemd(1)
    assert len(lines) == 1
    assert not any(str(port) in lines[0] for port in ports)


def test_malformed_listen_fds(opened: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """S30: LISTEN_FDS that is no number is an error, not zero sockets."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "two")
    with pytest.raises(ConfigError, match="LISTEN_FDS is 'two'"):
        listen(opened)
