"""The side of the server: the Unix socket, and one connection for each order (O3, O8).

Whoever may open the socket, which has mode 600, may give orders. A client has two seconds for its
line, and gets one line. Nothing here is a task or a thread: see `Supervision`.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.control.orders import (
    CHANGING,
    OrderFailed,
    Result,
    Supervision,
    carry_out,
    read_order,
)
from bridge.server.control.places import chosen_path, default_path
from bridge.server.control.text import printable
from bridge.server.network.listeners import open_unix

#: The setting that asks for no socket.
OFF: Final = "off"
MOST_CLIENTS: Final = 32
#: The most bytes of an order.
MOST_BYTES: Final = 4096
#: Seconds for a client to say its order, and to take its answer.
PATIENCE: Final = 2.0
TAKING: Final = 10.0


class ControlServer:
    """The socket of one server: `open` it, `serve` orders on the supervisor's loop, `close` it."""

    def __init__(self, sock: socket.socket, path: str, release: Callable[[], None]) -> None:
        self._socket = sock
        self._release = release
        self._server: asyncio.Server | None = None
        self._clients: set[_Client] = set()
        #: Its path, for the log.
        self.path = path

    @classmethod
    def open(cls, setting: str | None) -> ControlServer | None:
        """Open the socket that `control_socket` names; None: in the usual place.

        Return None if there is to be none. One that cannot be had is no reason not to serve: a
        warning says why, and what to do.
        """
        if setting == OFF:
            return None
        path = setting
        try:
            path = chosen_path(setting) if setting else default_path(os.environ)
            sock, release = open_unix(path, 0o600, MOST_CLIENTS)
        except ConfigError as error:
            logger.warning("no control socket, so `ctl` cannot give orders: %s", _why(path, error))
            return None
        return cls(sock, path, release)

    async def serve(self, supervision: Supervision) -> None:
        """Take orders for `supervision`, from now on."""

        def client() -> _Client:
            return _Client(supervision, self._clients)

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(client, sock=self._socket)
        logger.debug("control socket: %s", self.path)

    def close(self) -> None:
        """Take no more orders, and remove the socket if it is still this one.

        A client that waits for the end of the process (`stop`) learns of it when the system closes
        its connection.
        """
        self._release()
        if self._server is not None:
            self._server.close()
        self._socket.close()
        for client in list(self._clients):
            client.server_stops()


def _why(path: str | None, error: ConfigError) -> str:
    cause = error.__cause__
    if path is None or not isinstance(cause, OSError) or cause.errno is None:
        return f"{error}; say --control-socket PATH, or --control-socket off"
    if cause.errno == errno.EADDRINUSE:
        return (
            f"another server has {path}; give each its own with --control-socket PATH, or leave "
            "the option out"
        )
    return (
        f"{path}: {os.strerror(cause.errno)}; say --control-socket PATH with a directory of this "
        "user, or --control-socket off"
    )


class _Client(asyncio.Protocol):
    """One client: a line in, a line out."""

    def __init__(self, supervision: Supervision, clients: set[_Client]) -> None:
        self._supervision = supervision
        self._clients = clients
        self._line = bytearray()
        self._asked = False
        self._stays = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the line; a client too many is told so."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(PATIENCE, self._give_up)
        self._clients.add(self)
        if len(self._clients) > MOST_CLIENTS:
            self._fail(f"{MOST_CLIENTS} others are giving orders; try again")

    def data_received(self, data: bytes) -> None:
        """Read until the end of the line; what comes after it does not matter."""
        if self._asked:
            return
        self._line += data
        line, end, _ = self._line.partition(b"\n")
        if end:
            self._carry_out(bytes(line))
        elif len(self._line) > MOST_BYTES:
            self._fail(f"an order has {MOST_BYTES} bytes at most")

    def eof_received(self) -> bool:
        """Return whether an answer is still to come: a client may end its own side first."""
        if self._line and not self._asked:
            self._fail("the order has no end; it is a line")
        return self._asked

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client; what it has ordered goes on."""
        self._limit.cancel()
        self._clients.discard(self)

    def server_stops(self) -> None:
        """End the connection; if the client waits for the end of the process, the system does."""
        if self._stays:
            os.dup(self._transport.get_extra_info("socket").fileno())
            self._transport.abort()
        elif self._transport.is_closing():
            self._transport.abort()
        else:
            self._fail("the server is stopping")

    # --------------------------------------------------------- orders and answers

    def _carry_out(self, line: bytes) -> None:
        self._asked = True
        self._limit.cancel()
        supervision = self._supervision
        try:
            order = read_order(line)
            name = order["order"]
            result = self._logged(order) if name in CHANGING else carry_out(order, supervision)
        except OrderFailed as error:
            self._fail(str(error))
        except Exception:
            self._fault()
        else:
            if isinstance(result, asyncio.Future):
                result.add_done_callback(self._done)
            else:
                self._stays = name == "stop"
                self._answer({"ok": True, "result": result})

    def _logged(self, order: dict[str, Any]) -> Result | asyncio.Future[Result]:
        """Carry out an order that changes something; the log says what, who, and if it failed."""
        who = f" over the control socket{self._by()}"
        try:
            result = carry_out(order, self._supervision, who)
        except OrderFailed as error:
            logger.warning("%s was refused, ordered%s: %s", _words(order), who, error)
            raise
        if order["order"] != "switch":  # the log has it, with what was before
            logger.info("%s was ordered%s", _words(order), who)
        return result

    def _done(self, future: asyncio.Future[Result]) -> None:
        if future.cancelled():
            self._fail("the order was given up")
        elif (error := future.exception()) is None:
            self._answer({"ok": True, "result": future.result()})
        elif isinstance(error, OrderFailed):
            self._fail(str(error))
        else:
            logger.error("an order failed", exc_info=error)
            self._fail(_FAULT)

    def _fault(self) -> None:
        logger.exception("an order failed")
        self._fail(_FAULT)

    def _fail(self, error: str) -> None:
        self._answer({"ok": False, "error": error})

    def _give_up(self) -> None:
        self._fail(f"no order came within {PATIENCE:g} seconds")

    def _answer(self, answer: dict[str, Any]) -> None:
        """Send the answer, once, and close; a client that does not take it is cut off."""
        if self._transport.is_closing():
            return
        self._asked = True
        self._limit.cancel()
        self._transport.write(json.dumps(answer).encode() + b"\n")
        if not self._stays:
            self._transport.close()
            loop = asyncio.get_running_loop()
            self._limit = loop.call_later(TAKING, self._transport.abort)

    def _by(self) -> str:
        """Say which process has given the order, if the system tells."""
        sock = self._transport.get_extra_info("socket")
        try:
            found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except (AttributeError, OSError):  # macOS
            return ""
        pid, user, _ = _CREDENTIALS.unpack(found)
        return f" by process {pid} of user {user}"


#: struct ucred (unix(7)).
_CREDENTIALS: Final = struct.Struct("3i")
_FAULT: Final = "the server made a mistake; its log says which"


def _words(order: dict[str, Any]) -> str:
    """Return an order as the log has it: ``switch invoices canary 5``."""
    words = [order["order"], *(value for key, value in order.items() if key != "order")]
    line = " ".join(str(word) for word in words if word is not None)
    return printable(" ".join(line.split()))[:100]
