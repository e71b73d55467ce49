"""What systemd is told of a service with ``Type=notify`` (sd_notify(3), O4).

    READY=1        it serves: units that come after it may start
    RELOADING=1    it has been told to reload; READY=1 follows
    STOPPING=1     it has been told to stop
    STATUS=        one line for `systemctl status`
    WATCHDOG=1     its loop turns; without it for `WatchdogSec`, systemd ends the service

Nothing of that is sent if `NOTIFY_SOCKET` is not set. A socket that does not work harms nothing: it
is told once in the log.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from bridge.log import logger

#: Seconds between two lines for `systemctl status`, at most.
STATUS_PAUSE: Final = 10.0


class Notifier:
    """Tells systemd how far the process is.

    `address` is that of `NOTIFY_SOCKET`; empty: nothing is told. `watchdog` is the time in seconds
    after which systemd takes a silent service for a dead one; 0: it does not.
    """

    def __init__(self, address: str = "", watchdog: float = 0) -> None:
        self._address = address
        self._watchdog = watchdog
        self._has_failed = False
        self._status = ""
        self._next: asyncio.TimerHandle | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """Make one for the service that this process is, if it is one."""
        watchdog = environ.get("WATCHDOG_USEC", "")
        for_us = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        is_number = watchdog.isascii() and watchdog.isdigit()
        return cls(
            environ.get("NOTIFY_SOCKET", ""),
            int(watchdog) / 1_000_000 if is_number and for_us else 0,
        )

    def begin(self, loop: asyncio.AbstractEventLoop, status: Callable[[], str]) -> None:
        """Tell that it serves; and from now on that `loop` turns, and its `status`."""
        self._send("READY=1")
        if self._address:
            self._tell(loop, status, loop.time())

    @contextmanager
    def reload(self) -> Iterator[None]:
        """Tell that it reloads as long as the block lasts, and serves then, whatever came of it."""
        self.reloading()
        try:
            yield
        finally:
            self.reloaded()

    def reloading(self) -> None:
        """Tell that a reload begins; `reloaded` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def reloaded(self) -> None:
        """Tell that a reload is over, whatever came of it."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Tell that it stops; that the loop turns is told on, to the end."""
        self._send("STOPPING=1")

    def close(self) -> None:
        """Tell nothing any more."""
        self._address = ""
        if self._next is not None:
            self._next.cancel()

    def _tell(
        self, loop: asyncio.AbstractEventLoop, status: Callable[[], str], status_due: float
    ) -> None:
        if self._watchdog:
            self._send("WATCHDOG=1")
        now = loop.time()
        if now >= status_due:
            self._send_status(" ".join(status().splitlines()))
            status_due = now + STATUS_PAUSE
        pause = min(self._watchdog / 2 or STATUS_PAUSE, STATUS_PAUSE)
        self._next = loop.call_later(pause, self._tell, loop, status, status_due)

    def _send_status(self, line: str) -> None:
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def _send(self, text: str) -> None:
        """Send one message; the process never waits for systemd."""
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode("utf-8", "replace"), address)
        except (OSError, ValueError) as error:
            if not self._has_failed:
                logger.warning("systemd is not told: NOTIFY_SOCKET=%s: %s", self._address, error)
            self._has_failed = True
