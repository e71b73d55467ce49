"""What all connections of one server share: decided once at start, or once a second."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from bridge.caches import Memo, always
from bridge.errors import Overloaded
from bridge.http.response_fields import end_head
from bridge.log import logger
from bridge.loops.tasks import task_starter
from bridge.runners.completions import CompletionQueue
from bridge.server.clock import Clock
from bridge.server.config.config import Config
from bridge.server.connections import ConnectionSet
from bridge.server.default_fields import DefaultFields
from bridge.server.logs.access_log import AccessLog
from bridge.server.logs.refusals import Refusals
from bridge.server.metrics.figures import Figures
from bridge.server.proxy.trust import TrustedProxies
from bridge.types import ServerAddress

#: Bytes of a request body that are read and thrown away so that the connection can go on (W26).
DRAIN_LIMIT = 64 * 1024

#: The state of a response from which on `limit_requests` counts it no more (`server/exchange.py`).
FINISHING: Final = 2

#: How far a stop has come. `RETIRING`: each answer is its connection's last. `LATE`: it has been so
#: for long enough, and also a client that has sent half a head is idle. `CUTTING`: what is still
#: busy is being cut.
SERVING, RETIRING, LATE, CUTTING = range(4)


class Place:
    """Where connections come in: one object for all that came in there, told apart by identity."""

    __slots__ = ("scheme", "server")

    def __init__(self, scheme: str, server: ServerAddress | None) -> None:
        self.scheme = scheme
        self.server = server


#: The places that are known; bounded, for a PROXY header may name any.
PLACES: Memo[tuple[str, ServerAddress | None], Place] = Memo(
    lambda place: Place(*place), always, 256
)


class ManagedConnection(Protocol):
    """What the server looks at once a second: a connection."""

    def check_timeouts(self, now: float) -> None:
        """Enforce the time limits; `now` is in seconds of `ServerState.clock`."""

    def shutdown(self, *, at_once: bool) -> None:
        """Close after what is in flight, drop even that if `at_once`; said once, it holds."""


class CountedRequest(Protocol):
    """What `limit_requests` counts: an exchange."""

    response_state: int


class Recording:
    """Who is told of each request that is over; there is one if anybody is."""

    __slots__ = ("figures", "log")

    def __init__(self, log: AccessLog | None, figures: Figures | None) -> None:
        self.log = log
        self.figures = figures


class ServerState:
    """The settings as the hot path wants them, the open connections, the clock, the counters."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.loop = loop
        #: Starts an app.
        self.new_task: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
        self.new_task = task_starter(loop)
        #: What requests start in that the loop itself begins: no other request's variables.
        self.context = contextvars.copy_context()
        self.proxies = TrustedProxies(
            config.forwarded_allow_ips if config.proxy_headers else "",
            config.forwarded_headers,
            config.proxy_protocol_allow_ips,
        )
        #: What is refused, for the log.
        self.refusals = Refusals()
        #: Who is told of each request that is over.
        self.recording: Recording | None = None
        #: Whether requests have to be timed for that.
        self.timed = False
        #: Where threads leave whole responses for the loop to write.
        self.completions = CompletionQueue(loop)
        self.connections: ConnectionSet[ManagedConnection] = ConnectionSet()
        #: The most requests at a time; 0: any.
        self.limit_requests = config.limit_requests
        #: Requests taken and not yet over, where `limit_requests` wants them counted.
        self.active: set[CountedRequest] = set()
        self.served = 0
        #: Calls of ASGI apps that did not end at once: some go on after their response.
        self.tasks: set[asyncio.Task[None]] = set()
        #: Connections whose TLS is not there yet -> whether the client has begun it.
        self.handshakes: dict[asyncio.Task[None], bool] = {}
        #: How far a stop has come: `SERVING`, `RETIRING`, `LATE`, `CUTTING`.
        self.stop_phase = SERVING
        self._clock = Clock(loop)
        #: The clock at the last tick, in seconds.
        self.now = loop.time()
        self.default_fields = DefaultFields(date=config.date_header, server=config.server_header)
        #: Their lines with the blank line that ends a head.
        self.default_end = b""
        self.tick()

    def enter_stop(self, phase: int) -> None:
        """A stop has come to `phase`; there is no way back."""
        self.stop_phase = max(self.stop_phase, phase)

    def call_on_loop(self, function: Callable[..., object], *args: object) -> None:
        """From any thread: have the loop call `function`, if it still runs."""
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            logger.debug("the loop has closed before %s", function)

    def use_access_log(self, log: AccessLog | None) -> None:
        """Call `log` with each exchange that is over."""
        self._record(log, self.figures)

    def use_figures(self, figures: Figures | None) -> None:
        """Count in `figures` what connections and handlers do from now on."""
        self._clock.tick()  # what the start has taken is no lag
        self._record(None if self.recording is None else self.recording.log, figures)

    def _record(self, log: AccessLog | None, figures: Figures | None) -> None:
        self.recording = Recording(log, figures) if log is not None or figures else None
        self.timed = figures is not None or (log is not None and log.timed)

    @property
    def figures(self) -> Figures | None:
        """What is counted of this process; None if nothing is (O2)."""
        return None if self.recording is None else self.recording.figures

    @property
    def lag(self) -> float:
        """How late the loop was at the last tick, in seconds."""
        return self._clock.lag

    def count(self, exchange: CountedRequest) -> None:
        """One request more at a time. Raises `Overloaded` where that is one too many (S2)."""
        if len(self.active) >= self.limit_requests:
            # Those that threads have ended are taken out only when somebody looks.
            self.active = {each for each in self.active if each.response_state < FINISHING}
            if len(self.active) >= self.limit_requests:
                raise Overloaded(
                    f"{self.limit_requests} requests are under way, which is the limit; "
                    "raise --limit-requests to allow more"
                )
        self.active.add(exchange)

    def clock(self) -> float:
        """The time by which clients are judged, in seconds (`Clock`)."""
        return self._clock.time()

    def tick(self) -> None:
        """Take the time, once a second, for everything that needs no better."""
        self.now = self._clock.tick()
        self.default_fields.refresh()
        self.default_end = end_head(self.default_fields.lines)
        self.refusals.tick(self.now)
        if self.figures is not None:
            self.figures.lag.add(self.lag)

    def check_timeouts(self) -> None:
        """Have every connection look at its time limits."""
        now = self.now
        for connection in list(self.connections):
            connection.check_timeouts(now)
