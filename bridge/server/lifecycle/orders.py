"""What a server has been told (P2): to stop, to cut what a stop waits for; by signals or in Python.

A signal comes between any two steps of the main thread: its handlers here only set flags, and wake
the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from bridge.server.config.config import Config
from bridge.server.lifecycle.signals import Interrupted
from bridge.server.lifecycle.stopping import CANCEL_GRACE, CUT_GRACE

#: Seconds that a process has to end when it is told to while it starts.
STARTING_LIMIT = 5.0


class Orders:
    """The orders for one server, and the time that it has for them."""

    def __init__(self, config: Config) -> None:
        self._config = config
        #: The loop that the server runs on, while it does.
        self._loop: asyncio.AbstractEventLoop | None = None
        #: The app is being imported: nothing waits for `stop` yet.
        self._loading = False
        #: It has started, and may have something in flight.
        self.serving = False
        self.stop_requested = False
        self.stop = asyncio.Event()
        #: Nothing is to be waited for any more.
        self.cut = asyncio.Event()
        self._deadline = 0.0
        self._hurried = False

    def request_stop(self) -> None:
        """Stop gracefully; asked a second time, at once. On the loop's thread."""
        if self.stop_requested:
            self.cut.set()
        self.stop_requested = True
        self.stop.set()

    # --------------------------------------------------------- how far the server has come

    def attach_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note the loop that the server runs on: signals wake it."""
        self._loop = loop

    def detach_loop(self) -> None:
        """Note that the loop is about to end: a signal that comes now finds none."""
        self._loop = None

    def begin_loading(self) -> None:
        """Have a signal raise `Interrupted` from now on, in the app's import."""
        self._loading = True

    def end_loading(self) -> None:
        """Have signals raise nothing any more."""
        self._loading = False

    def started(self) -> None:
        """Note that the server has started, and may have something in flight."""
        self.serving = True

    # --------------------------------------------------------- signals

    def on_sigterm(self) -> None:
        """Stop; more of them change nothing."""
        if not self.stop_requested:
            self.stop_requested = True
            self._signal_event(self.stop)

    def on_sigint(self) -> None:
        """Stop; if that is under way already, cut."""
        event = self.cut if self.stop_requested else self.stop
        self.stop_requested = True
        self._signal_event(event)

    def _signal_event(self, event: asyncio.Event) -> None:
        if self._loop is None:
            event.set()  # nothing waits for it yet
        else:
            self.soon(event.set)
        if self._loading:
            raise Interrupted

    def soon(self, function: Callable[[], object]) -> None:
        """Call `function` on the loop, if there is one."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(function)

    # --------------------------------------------------------- time

    def stop_within(self, seconds: float) -> None:
        """Note that the stop begins, and that what is in flight has so much time."""
        self._deadline = monotonic() + seconds

    def stopped(self) -> None:
        """Note that the server has stopped; what the app has left behind has a moment at least."""
        self._deadline = max(self._deadline, monotonic() + CANCEL_GRACE)

    def time_left(self) -> float:
        """Return the seconds left for what is still there when the server has stopped."""
        if self.cut.is_set() and not self._hurried:
            self._hurried, self._deadline = True, monotonic() + CUT_GRACE
        if not self._deadline:  # it has never started
            self._deadline = monotonic() + CANCEL_GRACE
        return max(self._deadline - monotonic(), 0)

    def limit(self) -> float | None:
        """Return the seconds in which the process must have ended if it is told now; None: any."""
        if not self.serving:
            return STARTING_LIMIT
        config = self._config
        if not config.timeout_shutdown:
            return None
        return (
            config.drain_delay
            + config.timeout_graceful_shutdown
            + config.timeout_shutdown
            + STARTING_LIMIT
        )
