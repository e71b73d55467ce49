"""What all connections of one server share: decided once at start, or once a second."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from time import time
from typing import Any, Final, Protocol, TypeAlias

from bridge.caches import Memo, always
from bridge.errors import Overloaded
from bridge.log import logger
from bridge.loops.tasks import task_starter
from bridge.runners.completions import CompletionQueue
from bridge.server.config.config import Config
from bridge.server.connections import ConnectionSet
from bridge.server.logs.access_log import AccessLog
from bridge.server.logs.refusals import Refusals
from bridge.server.proxy.allow_list import AllowList
from bridge.server.proxy.forwarded import Forwarded

#: Bytes of a request body that are read and thrown away so that the connection can go on (W26).
DRAIN_LIMIT = 64 * 1024

#: The state of a response from which on `limit_requests` counts it no more (`server/exchange.py`).
FINISHING: Final = 2

#: Seconds between two looks at the time limits.
TICK = 1.0

#: Our own address: name and port, or the path of a Unix socket and None.
ServerAddress: TypeAlias = tuple[str, int | None] | None

#: The most places that are known: a PROXY header may name any.
_MOST_PLACES = 256


class Place:
    """Where connections come in: one object for all that came in there, told apart by identity."""

    __slots__ = ("scheme", "server")

    def __init__(self, scheme: str, server: ServerAddress) -> None:
        self.scheme = scheme
        self.server = server


class Swept(Protocol):
    """What the server looks at once a second: a connection."""

    def sweep(self, now: float) -> None:
        """Enforce the time limits; `now` is in seconds of `ServerState.clock`."""

    def retire(self, *, at_once: bool) -> None:
        """Close after what is in flight, drop even that if `at_once`; said once, it holds."""


class Counted(Protocol):
    """What `limit_requests` counts: an exchange."""

    response_state: int


class ServerState:
    """The settings as the hot path wants them, the open connections, the clock, the counters."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.loop = loop
        #: Whether transports can be given several buffers at once. asyncio's own cannot in all of
        #: our Pythons: they do not pause the protocol then (gh-127655), nor see a lost connection.
        self.has_writelines = not isinstance(loop, asyncio.SelectorEventLoop)
        #: Starts an app.
        self.new_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
        self.new_task = task_starter(loop)
        #: What requests start in that the loop itself begins: no other request's variables.
        self.context = contextvars.copy_context()
        self.forwarded = (
            Forwarded(config.forwarded_allow_ips, config.forwarded_headers)
            if config.proxy_headers
            else Forwarded("")
        )
        #: Who may send a PROXY protocol header.
        self.proxies = AllowList(config.proxy_protocol_allow_ips, "proxy_protocol_allow_ips")
        #: What is refused, for the log.
        self.refusals = Refusals()
        self.access_log: AccessLog | None = None
        #: Whether requests have to be timed for the access log.
        self.timed = False
        #: Where threads leave whole responses for the loop to write.
        self.completions = CompletionQueue(loop)
        self.connections: ConnectionSet[Swept] = ConnectionSet()
        #: The most requests at a time; 0: any.
        self.limit_requests = config.limit_requests
        #: Requests taken and not yet over, where `limit_requests` wants them counted.
        self.active: set[Counted] = set()
        self.served = 0
        #: Calls of ASGI apps that did not end at once: some go on after their response.
        self.tasks: set[asyncio.Task[None]] = set()
        #: Connections whose TLS is not there yet -> whether the client has begun it.
        self.handshakes: dict[asyncio.Task[None], bool] = {}
        #: The server is stopping: each answer is its connection's last.
        self.retiring = False
        #: It has been for long enough: also whoever has sent half a head is idle.
        self.late = False
        #: What was still busy at the end is being cut.
        self.cut = False
        self._places: Memo[tuple[str, ServerAddress], Place] = Memo(
            lambda place: Place(*place), always, _MOST_PLACES
        )
        #: The clock at the last tick, in seconds.
        self.now = self._due = loop.time()
        #: When the next tick is due by the loop's own clock, and how late ticks were in all.
        self._late = 0.0
        #: The fields that the server adds to a response, as lines; made anew each second.
        self.date_line = b""
        self.server_line = b"server: asgi-bridge\r\n" if config.server_header else b""
        self.default_lines = b""
        #: The same with the blank line that ends a head.
        self.default_end = b""
        self.tick()

    def place(self, scheme: str, server: ServerAddress) -> Place:
        """The place of connections with this scheme to this address of ours."""
        return self._places[scheme, server]

    def call_on_loop(self, function: Callable[..., object], *args: object) -> None:
        """From any thread: have the loop call `function`, if it still runs."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("the loop has closed before %s", function)

    def use_access_log(self, log: AccessLog | None) -> None:
        """Call `log` with each exchange that is over."""
        self.access_log = log
        self.timed = log is not None and log.timed

    def count(self, exchange: Counted) -> None:
        """One request more at a time. Raises `Overloaded` where that is one too many (S2)."""
        if len(self.active) >= self.limit_requests:
            # Those that threads have ended are taken out only when somebody looks.
            self.active = {each for each in self.active if each.response_state < FINISHING}
            if len(self.active) >= self.limit_requests:
                raise Overloaded(f"as many requests are answered as may be: {self.limit_requests}")
        self.active.add(exchange)

    def clock(self) -> float:
        """The time, in seconds, by which clients are judged: it stands while the loop is late.

        A loop that was kept busy for a minute has not listened for a minute: no client pays for
        that.
        """
        return min(self.loop.time(), self._due) - self._late

    def tick(self) -> None:
        """Take the time, once a second, for everything that needs no better."""
        now = self.loop.time()
        self._late += max(0.0, now - self._due)
        self._due = now + TICK
        self.now = now - self._late
        if self.config.date_header:
            self.date_line = b"date: %b\r\n" % formatdate(time(), usegmt=True).encode("ascii")
        self.default_lines = self.date_line + self.server_line
        self.default_end = self.default_lines + b"\r\n"
        self.refusals.tick(self.now)

    def sweep(self) -> None:
        """Have every connection look at its time limits."""
        now = self.now
        for connection in list(self.connections):
            connection.sweep(now)
