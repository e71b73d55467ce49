"""The sockets that the server listens on: TCP, Unix, inherited, systemd's (S30, S51).

    spec            means
    host:port       every address of the name; port 0 takes a free one
    [::1]:port      an IPv6 address; [::] takes IPv4 clients too, unless an IPv4 address is bound
    :port           every address of this machine
    unix:path       a Unix socket; unix:@name an abstract one (Linux)
    fd://N          a socket that this process inherited as descriptor N, and owns from then on

systemd's sockets (`LISTEN_FDS`) come first, then each `bind`; without both, `host` and `port`. A
descriptor that is named twice, or by systemd and as ``fd://3``, is used once. Everything here runs
at start-up and may block. Errors are `ConfigError`s that say what to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from bridge.errors import ConfigError
from bridge.limits import MOST_UNSENT
from bridge.server.config.config import Config
from bridge.server.network.binding import cannot_bind, listen

#: The first descriptor that systemd passes (sd_listen_fds(3)).
_SYSTEMD_START = 3
_EVERY_IPV6 = "::"
#: How often, and how many seconds apart, to try to lock a directory.
_LOCK_TRIES, _LOCK_PAUSE = 50, 0.02


@dataclass(frozen=True)
class _Address:
    """One address of a spec."""

    spec: str
    family: socket.AddressFamily
    host: str
    port: int


class Listener:
    """A listening socket (non-blocking, not inheritable), and its name for people."""

    def __init__(self, sock: socket.socket, tls: bool, release: Callable[[], None] | None) -> None:
        self.socket = sock
        self._scheme = "https" if tls else "http"
        self._release = release

    @property
    def is_unix(self) -> bool:
        """Whether it is a Unix socket, whose clients have no address."""
        return self.socket.family == socket.AF_UNIX

    @property
    def address(self) -> tuple[str, int] | str:
        """Host and port, or the path of a Unix socket (``@name``: an abstract one)."""
        name = self.socket.getsockname()
        return _unix_name(name) if self.is_unix else (name[0], name[1])

    def describe(self) -> str:
        """Return the URL for the banner: ``http://127.0.0.1:8000`` or ``unix:/run/app.sock``."""
        name = self.socket.getsockname()
        if self.is_unix:
            return f"unix:{_unix_name(name)}"
        host = f"[{name[0]}]" if self.socket.family == socket.AF_INET6 else name[0]
        return f"{self._scheme}://{host}:{name[1]}"

    def close(self) -> None:
        """Stop listening, and remove the file of a Unix socket if it is still this one."""
        release, self._release = self._release, None
        if release is not None:
            release()
        self.socket.close()


def open_listeners(config: Config, only: str = "") -> list[Listener]:
    """Open every socket that `config` and the environment name; or `only` that one, for plain HTTP.

    Raises `ConfigError`; the sockets that were opened before it are closed.
    """
    tls = config.ssl_certfile is not None and not only
    listeners: list[Listener] = []
    try:
        for sock, release in _sockets(config, only):
            listeners.append(Listener(sock, tls, release))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def banner(listeners: Sequence[Listener]) -> str:
    """Return the line with the addresses, which people and tools look for (S51)."""
    urls = ", ".join(listener.describe() for listener in listeners)
    return f"asgi-bridge running on {urls} (Press CTRL+C to quit)"


_Opened = tuple[socket.socket, Callable[[], None] | None]


def _sockets(config: Config, only: str) -> Iterator[_Opened]:
    inherited = range(0) if only else _systemd_descriptors()
    for fd in inherited:
        yield _inherit(fd, f"LISTEN_FDS descriptor {fd}", config.backlog), None
    taken = set(inherited)
    specs = (only,) if only else config.bind
    if not specs and not inherited:
        host = f"[{config.host}]" if ":" in config.host else config.host
        specs = (f"{host}:{config.port}",)
    tcp = {spec: resolve(spec) for spec in specs if not spec.startswith(("unix:", "fd://"))}
    resolved = [address for addresses in tcp.values() for address in addresses]
    for spec in specs:
        if spec.startswith("unix:"):
            yield open_unix(
                spec.removeprefix("unix:").removeprefix("//"), config.uds_mode, config.backlog
            )
        elif spec.startswith("fd://"):
            fd = descriptor_of(spec)
            if fd not in taken:  # one listener for each descriptor, even if it is named twice
                taken.add(fd)
                yield _inherit(fd, spec, config.backlog), None
        else:
            for sock in _open_tcp(tcp[spec], resolved, config.backlog):
                yield sock, None


# ------------------------------------------------------------- TCP


def resolve(spec: str) -> list[_Address]:
    """Return the addresses of ``host:port``, IPv4 and IPv6. Raises `ConfigError`."""
    host, colon, digits = spec.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not _is_port(digits) or (":" in bare and bare == host):
        raise ConfigError(
            f"cannot bind to {spec!r}; give host:port, [::1]:port, unix:path or fd://N"
        )
    # For a host as str, Python loads its tables of international names: 0.4 MB.
    name: str | bytes = bare.encode() if bare.isascii() else bare
    try:
        found = socket.getaddrinfo(
            None if bare in ("", "*") else name,
            int(digits),
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE,
        )
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot bind to {spec}: the host {bare!r} is unknown here ({error}); give one of "
            "this machine's addresses, or 0.0.0.0 for all of them"
        ) from error
    addresses = dict.fromkeys((entry[0], str(entry[4][0])) for entry in found)
    return [_Address(spec, family, address, int(digits)) for family, address in addresses]


def _is_port(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and int(digits) <= 0xFFFF


def _open_tcp(
    addresses: list[_Address], all_addresses: list[_Address], backlog: int
) -> Iterator[socket.socket]:
    """Listen on every address of a spec; skip those that this machine does not have.

    `localhost` is ::1 and 127.0.0.1, and many containers have only the second. Raises `ConfigError`
    if not one of them can be used.
    """
    port = addresses[0].port
    opened = 0
    missing: OSError | None = None
    for address in addresses:
        try:
            sock = _bind_tcp(address, port, all_addresses, backlog)
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise cannot_bind(address.spec, error) from error
            missing = error
        else:
            opened += 1
            port = sock.getsockname()[1]
            yield sock
    if missing is not None and not opened:
        raise cannot_bind(addresses[0].spec, missing) from missing


def _bind_tcp(
    address: _Address, port: int, all_addresses: list[_Address], backlog: int
) -> socket.socket:
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # On Linux every accepted connection inherits these.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(AttributeError, OSError):  # not every system has it
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MOST_UNSENT)
        if address.family == socket.AF_INET6:
            only = address.host != _EVERY_IPV6 or _ipv4_has_port(address.port, all_addresses)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sock.bind((address.host, port))
        return listen(sock, backlog)
    except BaseException:
        sock.close()
        raise


def _ipv4_has_port(port: int, addresses: list[_Address]) -> bool:
    return any(each.family == socket.AF_INET and each.port == port for each in addresses)


# ------------------------------------------------------------- Unix sockets


def _unix_name(path: str | bytes) -> str:
    """Return a socket's path for people; abstract names begin with ``@``."""
    text = os.fsdecode(path)
    return f"@{text[1:]}" if text.startswith("\0") else text


def open_unix(path: str, mode: int, backlog: int) -> tuple[socket.socket, Callable[[], None]]:
    """Listen on the Unix socket `path` (``@name``: an abstract one), with the permissions `mode`.

    Return it, and what removes its file. A socket of a server that is gone is replaced. Raises
    `ConfigError`.
    """
    spec = f"unix:{path}"
    if not path:
        raise ConfigError(
            f"cannot bind to {spec!r}; give the path of the socket: unix:/run/app.sock"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.startswith("@"):
            sock.bind(f"\0{path[1:]}")
            return listen(sock, backlog), _nothing
        with directory_lock(os.path.dirname(path) or "."):
            remove_stale(path)
            _bind_unix(sock, path, mode)
            return listen(sock, backlog), _remover(path, os.lstat(path))
    except OSError as error:
        sock.close()
        if error.errno is None:
            raise ConfigError(
                f"cannot listen on {spec}: the path is too long for a socket, which may have about "
                "100 characters; choose a shorter one with --bind, such as unix:/run/app.sock"
            ) from error
        raise cannot_bind(spec, error) from error
    except BaseException:
        sock.close()
        raise


def _nothing() -> None:
    """Remove nothing: an abstract socket has no file."""


@contextmanager
def directory_lock(directory: str) -> Iterator[None]:
    """Lock `directory`, so that servers that start at the same time wait for each other.

    A socket that is bound, but does not listen yet, looks like a stale one. Any program may hold
    the lock, so after a second we go on without it.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # we may not read it; or it does not exist, which `bind` will report
        descriptor = -1
    try:
        if descriptor >= 0:
            _lock(descriptor)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            time.sleep(_LOCK_PAUSE)


def _bind_unix(sock: socket.socket, path: str, mode: int) -> None:
    """Bind with the mode as umask, so that the permissions are right from the first moment.

    With `chmod` after `bind` others could connect before it, or replace the socket by a link.
    """
    mask = os.umask(0o777 & ~mode)
    try:
        sock.bind(path)
    finally:
        os.umask(mask)


def remove_stale(path: str) -> None:
    """Remove the socket of a server that is gone; raise if the server runs, or it is no socket."""
    found = _lstat(path)
    if found is None:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(
            f"cannot listen on unix:{path}: a file that is no socket is in the way; remove it, or "
            "choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            _remover(path, found)()
            return
        except BlockingIOError:
            pass  # a server listens, and is too busy to accept
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _remover(path: str, made: os.stat_result) -> Callable[[], None]:
    """Return a function that removes the socket at `path`, if it is still `made`.

    Another server that has taken over the path has its own file there. And the function does
    nothing in a forked child, which must not remove its parent's socket. The inode cannot be used
    again while the socket is open.
    """
    path, owner = os.path.abspath(path), os.getpid()

    def remove() -> None:
        if os.getpid() == owner and _is_at(path, made):
            os.unlink(path)

    return remove


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _is_at(path: str, file: os.stat_result) -> bool:
    found = _lstat(path)
    return found is not None and os.path.samestat(found, file)


# ------------------------------------------------------------- inherited sockets


def _systemd_descriptors() -> range:
    """Return the descriptors that systemd passed to this very process (sd_listen_fds(3))."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isascii() or not count.isdigit():
        raise ConfigError(f"LISTEN_FDS is {count!r}, and must be the number of sockets passed")
    return range(_SYSTEMD_START, _SYSTEMD_START + int(count))


def descriptor_of(spec: str) -> int:
    """Return the number in ``fd://N``. Raises `ConfigError`."""
    digits = spec.removeprefix("fd://")
    if not digits.isascii() or not digits.isdigit():
        raise ConfigError(f"cannot bind to {spec!r}; give the number of the descriptor: fd://3")
    return int(digits)


def _inherit(fd: int, name: str, backlog: int) -> socket.socket:
    try:
        sock = socket.socket(fileno=fd)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"cannot listen on {name}: descriptor {fd} is no socket of this process "
            f"({getattr(error, 'strerror', error)}); have the parent pass a bound socket"
        ) from error
    if sock.type != socket.SOCK_STREAM or sock.family not in _FAMILIES:
        sock.detach()
        raise ConfigError(
            f"cannot listen on {name}: it is no TCP or Unix stream socket; have the parent pass one"
        )
    try:
        sock.set_inheritable(False)
        return listen(sock, backlog)
    except OSError as error:
        sock.close()
        raise cannot_bind(name, error) from error


_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
