"""A template: a process that has imported the app, and forks workers on its supervisor's order.

Its first worker is ordered with its start: until that is forked, the template stands for it, as if
it were a worker that imports. So what the import fails of is told and handled as for any worker.

    fork in between -> fork the worker, end -> the supervisor, which adopts orphans, is its parent

The worker itself tells the supervisor its pid: before it says or does anything else, so that no
worker is heard of, or reaped, before it is known. Threads do not live on in a fork; so there are
none here, no loop and no lifespan: they come in the workers.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from bridge.log import logger
from bridge.server.config.config import Config
from bridge.server.lifecycle.orders import STARTING_LIMIT
from bridge.server.lifecycle.signals import Signals
from bridge.server.logs.loggers import configure_logging, reopen_log_files
from bridge.server.network.listeners import Listener
from bridge.server.network.load_board import Seat
from bridge.server.process.channel import Channel
from bridge.server.process.preload.linux import end_with
from bridge.server.process.stacks import SIGNAL, StackFile
from bridge.server.process.worker import SupervisedHost, leave, run_worker, tell_failure
from bridge.server.server import Server

#: The most bytes of an order, or of an answer.
MOST_BYTES: Final = 4096


@dataclass
class Place:
    """What one worker needs: see `run_worker`."""

    slot: int
    channel: Channel
    seat: Seat
    stacks: StackFile

    def close(self) -> None:
        """Close it here, when a worker has it."""
        self.channel.close()
        self.stacks.close()


def run_template(
    config: Config,
    listeners: Sequence[Listener],
    orders: socket.socket,
    first: Place,
    *,
    supervisor: int,
    signals: Iterable[int],
) -> NoReturn:
    """Import the app, fork its `first` worker, and more by `orders`; then end the process.

    `supervisor` is its parent's pid. The caller holds `signals` back.
    """
    end_with(supervisor)
    template = Template(config, listeners, orders, frozenset(signals))
    # What the terminal, or a service manager, sends to all is for the supervisor and the workers.
    table: dict[int, Callable[[], object]] = dict.fromkeys(template.signals, _do_nothing)
    table[signal.SIGTERM] = lambda: os._exit(0)
    with Signals(table, in_children=signal.SIG_DFL):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, table)
        code = template.load(first)
        if code:
            leave(code, STARTING_LIMIT)
        template.fork(first)
        template.obey(first.seat)
    os._exit(0)


class Template:
    """The process; its app is that of `config`."""

    def __init__(
        self,
        config: Config,
        listeners: Sequence[Listener],
        orders: socket.socket,
        signals: frozenset[int],
    ) -> None:
        self.signals = signals - {signal.SIGCHLD}
        self._server = Server(config, SupervisedHost())
        self._listeners = listeners
        self._orders = orders

    def load(self, first: Place) -> int:
        """Import the app in the place of its first worker; return the exit code if it fails."""
        first.stacks.register()
        try:
            configure_logging(self._server.config)
            self._server.load()
        except BaseException as error:
            return tell_failure(error, first.channel)
        faulthandler.unregister(SIGNAL)
        _warn_of_threads()
        gc.collect()
        gc.freeze()  # else a collection in a worker would write to what it shares with the others
        return 0

    def obey(self, board: Seat) -> None:
        """Fork workers by order until the supervisor hangs up; `board`: any seat on the board."""
        while True:
            flags = socket.MSG_CMSG_CLOEXEC
            data, descriptors, _, _ = socket.recv_fds(self._orders, MOST_BYTES, 2, flags)
            if not data:
                return
            match json.loads(data):
                case {"type": "reopen-logs"}:
                    reopen_log_files()
                case {"type": "fork", "slot": slot, "seat": seat}:
                    self._fork_by_order(slot, board.at(seat), descriptors)

    def _fork_by_order(self, slot: int, seat: Seat, descriptors: list[int]) -> None:
        if len(descriptors) != 2:
            for each in descriptors:
                os.close(each)
            self._answer({"error": "the template process cannot open more files"})
            return
        channel = Channel(socket.socket(fileno=descriptors[0]))
        self.fork(Place(slot, channel, seat, StackFile(descriptors[1])))

    def fork(self, place: Place) -> None:
        """Fork a worker, whose parent is the supervisor, and tell that its pid."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()  # else what is in there would be written twice
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        try:
            between = os.fork()
            if not between:
                self._be_between(place)
        except OSError as error:
            self._answer({"error": str(error)})
        else:
            with contextlib.suppress(ChildProcessError):  # the app may have them reaped
                os.waitpid(between, 0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            place.close()

    def _be_between(self, place: Place) -> NoReturn:
        """In the process between: fork the worker, and end, so that the supervisor gets it."""
        try:
            try:
                is_between = os.fork()
            except OSError as error:
                self._answer({"error": str(error)})
            else:
                if not is_between:
                    self._be_worker(place)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _be_worker(self, place: Place) -> NoReturn:
        self._answer({"pid": os.getpid()})
        self._orders.close()
        run_worker(
            self._server.config,
            self._listeners,
            place.channel,
            slot=place.slot,
            seat=place.seat,
            stacks=place.stacks,
            server=self._server,
        )

    def _answer(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the supervisor has gone
            self._orders.send(json.dumps(message).encode())


def _warn_of_threads() -> None:
    """Warn of the threads that the import has started: they do not live on in the workers."""
    others = [each.name for each in threading.enumerate() if each is not threading.main_thread()]
    if others:
        logger.warning(
            "importing the app has started threads (%s), which do not run in the workers that are "
            "forked from this process (preload); start them in the app's lifespan, or in post_fork",
            ", ".join(others),
        )


def _do_nothing() -> None:
    pass
