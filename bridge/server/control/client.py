"""The side of `asgi-bridge ctl`: find the server, give it an order, wait for the end (O3, O8)."""

from __future__ import annotations

import json
import os
import pwd
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, Final

from bridge.server.control.orders import OrderFailed, Result
from bridge.server.control.places import directories, sockets

#: Seconds for a server to take a connection, and to answer what it knows.
CONNECTING: Final = 5.0
ANSWERING: Final = 10.0
#: The orders that take as long as the server needs.
LONG: Final = frozenset({"reload", "stop", "threads"})

_READ_SIZE: Final = 64 * 1024
_CREDENTIALS: Final = struct.Struct("3i")


class NoServer(Exception):
    """There is no server; the text is one line that says where it was looked for."""


class SeveralServers(Exception):
    """No socket is named, and there are several: `paths`."""

    def __init__(self, paths: list[str]) -> None:
        super().__init__("several servers are running; say which with --socket PATH")
        self.paths = paths


def find(environ: Mapping[str, str]) -> str:
    """Return the socket of the only server of this user.

    Raises `NoServer` and `SeveralServers`; what is stale does not count.
    """
    living = [path for path in sockets(environ) if _listens(path)]
    if len(living) == 1:
        return living[0]
    if living:
        raise SeveralServers(living)
    raise NoServer(
        f"no server of user {_user()} with a control socket is running (looked in "
        f"{', '.join(directories(environ))}). A server has one if it runs with -w 2 or more, with "
        "--cutover, or with --control-socket PATH; one in another place needs --socket PATH"
    )


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CONNECTING)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError, PermissionError):
            return False
        except OSError:
            return True  # it is too busy to take a connection
    return True


class Connection:
    """One order to the server at `path`. Raises `NoServer`, and `OrderFailed` if not permitted."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket = sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(CONNECTING)
        try:
            sock.connect(path)
        except OSError as error:
            sock.close()
            raise _unreachable(path, error) from error
        self._process = _process_of(sock)
        self._read = bytearray()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()
        if self._process is not None:
            os.close(self._process)

    def ask(self, order: str, timeout: float | None = None, **arguments: Any) -> Result:
        """Give `order` and return its result. Raises `OrderFailed`, also if there is no answer.

        `timeout`: seconds to wait; None: as long as such an order takes.
        """
        if timeout is None and order not in LONG:
            timeout = ANSWERING
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            self._socket.sendall(json.dumps({"order": order, **arguments}).encode() + b"\n")
        except OSError:
            pass  # the answer says why it was closed
        line = self._read_line(order, deadline)
        try:
            answer = json.loads(line)
            ok, text = answer["ok"], answer["result" if answer["ok"] else "error"]
        except (ValueError, TypeError, KeyError):
            raise OrderFailed(
                f"what answers at {self._path} is no asgi-bridge; say --socket PATH with the "
                "control socket of one"
            ) from None
        if not ok:
            raise OrderFailed(str(text))
        return text

    def _read_line(self, order: str, deadline: float | None) -> bytes:
        while not self._read.endswith(b"\n"):
            try:
                self._socket.settimeout(_left(deadline))
                data = self._socket.recv(_READ_SIZE)
            except TimeoutError:
                raise OrderFailed(
                    f"the server has not answered {order} in time; it goes on with it if it can. "
                    "See its log, or wait longer with --timeout SECONDS"
                ) from None
            except OSError:
                data = b""
            if not data:
                raise OrderFailed(f"the server has ended before it has answered {order}")
            self._read += data
        return bytes(self._read)

    def wait_for_end(self, timeout: float | None) -> None:
        """Wait until the server's process is gone. Raises `OrderFailed` if it is not, in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.recv(1)
        except TimeoutError:
            raise OrderFailed(f"the server is still stopping after {timeout:g} seconds") from None
        except OSError:
            pass
        if self._process is not None:
            gone, _, _ = select.select([self._process], [], [], _left(deadline))
            if not gone:
                raise OrderFailed(f"the server is still stopping after {timeout:g} seconds")


def _left(deadline: float | None) -> float | None:
    """Return the seconds until `deadline`; never 0, which would mean not to wait."""
    return None if deadline is None else max(0.001, deadline - time.monotonic())


def _unreachable(path: str, error: OSError) -> Exception:
    if isinstance(error, FileNotFoundError):
        return NoServer(
            f"no server at {path}: there is no such socket. Is it running, and is that its "
            "--control-socket?"
        )
    if isinstance(error, ConnectionRefusedError):
        return NoServer(
            f"no server at {path}: the socket is stale, its server has been killed. Start it "
            "again: a new one takes its place"
        )
    if isinstance(error, PermissionError):
        return OrderFailed(
            f"{path} may not be opened by user {_user()}: only the server's user and root may give "
            "it orders (sudo -u USER asgi-bridge ctl ...)"
        )
    if isinstance(error, TimeoutError | BlockingIOError):
        return OrderFailed(f"the server at {path} takes no orders now; try again")
    reason = error.strerror or str(error)
    return NoServer(f"no server at {path}: {reason}. Say --socket PATH with its control socket")


def _process_of(sock: socket.socket) -> int | None:
    """Return a descriptor that is readable when the server's process is gone (Linux)."""
    try:
        found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return os.pidfd_open(_CREDENTIALS.unpack(found)[0])
    except (AttributeError, OSError):
        return None
