"""The supervisor's side of `--preload`: a template for each generation, which forks its workers.

A template is made for the first worker of its generation, and stands for it until it has forked it
(`template.py`). It is told to fork one worker at a time. One that has ended is made again when the
next worker is wanted; its workers serve on, for the supervisor is their parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn, TypeAlias

from bridge.log import logger
from bridge.server.config.config import Config
from bridge.server.network.listeners import Listener
from bridge.server.process.fleet.fleet import Fleet
from bridge.server.process.fleet.members import Fork, Member
from bridge.server.process.forking import ForkingLoop
from bridge.server.process.links import Ends
from bridge.server.process.preload.linux import adopt_orphans
from bridge.server.process.preload.template import MOST_BYTES, Place, run_template

#: Seconds that a template has to fork a worker.
FORK_LIMIT: Final = 30.0

#: Takes the pid of a worker that was forked; 0: it was not, and the text says why.
Forked: TypeAlias = Callable[[Member, int, str], None]


class _Link:
    """A template, as the supervisor sees it."""

    def __init__(self, pid: int, orders: socket.socket, member: Member) -> None:
        self.pid = pid
        self.orders = orders
        #: The worker that it is about to fork; None: it waits for an order.
        self.member: Member | None = member
        #: Ends it if it does not.
        self.limit: asyncio.TimerHandle | None = None

    @property
    def imports(self) -> bool:
        """Whether it stands for its first worker: the fleet looks after it."""
        return self.member is not None and self.member.pid == self.pid

    def kill(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


class Templates:
    """All templates of a supervisor; `forked` is told, on the loop, what comes of an order."""

    def __init__(self, forking: ForkingLoop, forked: Forked) -> None:
        self._forking = forking
        self._forked = forked
        self._by_generation: dict[int, _Link] = {}
        self._adopts = False

    def open(self, config: Config) -> None:
        """Prepare for them, if `config` wants them. Raises `ConfigError` if there can be none."""
        if config.preload and not self._adopts:
            adopt_orphans()
            self._adopts = True

    def can_fork(self, fork: Fork) -> bool:
        """Return whether `fork` may be carried out now, or must wait until another one is."""
        link = self._by_generation.get(fork.member.generation)
        return link is None or link.member is None

    def fork(
        self, fork: Fork, ends: Ends, listeners: Sequence[Listener], signals: Iterable[int]
    ) -> int:
        """Have a worker forked; return what its pid is for now, 0 if there is none yet.

        Raises `OSError` and `ConfigError`.
        """
        link = self._by_generation.get(fork.member.generation)
        if link is not None:
            try:
                self._order(link, fork.member, ends)
                return 0
            except OSError:  # it has just ended
                self._lose(link)
        self.open(fork.config)
        return self._start(fork, ends, listeners, signals)

    def _order(self, link: _Link, member: Member, ends: Ends) -> None:
        message = {"type": "fork", "slot": member.slot, "seat": ends.seat.index}
        descriptors = [ends.theirs.fileno(), ends.stacks.fileno()]
        socket.send_fds(link.orders, [json.dumps(message).encode()], descriptors)
        link.member = member
        link.limit = self._forking.loop.call_later(FORK_LIMIT, link.kill)

    def _start(
        self, fork: Fork, ends: Ends, listeners: Sequence[Listener], signals: Iterable[int]
    ) -> int:
        member, supervisor = fork.member, os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def child() -> NoReturn:
            ours.close()
            ends.ours.close()
            place = Place(member.slot, ends.theirs, ends.seat, ends.stacks)
            run_template(
                fork.config, listeners, theirs, place, supervisor=supervisor, signals=signals
            )

        try:
            pid = self._forking.fork(child, signals)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        link = self._by_generation[member.generation] = _Link(pid, ours, member)
        self._forking.loop.add_reader(ours.fileno(), self._read, link)
        return pid

    # --------------------------------------------------------- what they answer

    def read(self) -> None:
        """Take what they have answered: nothing is heard of a worker that is not known yet."""
        for link in [*self._by_generation.values()]:
            self._read(link)

    def _read(self, link: _Link) -> None:
        try:
            while answer := link.orders.recv(MOST_BYTES):
                self._take(link, json.loads(answer))
        except BlockingIOError:
            return
        except OSError:
            pass  # it has ended before it had read its orders
        self._lose(link)

    def _take(self, link: _Link, answer: dict[str, object]) -> None:
        member, link.member = link.member, None
        if link.limit is not None:
            link.limit.cancel()
        if member is not None:
            match answer:
                case {"pid": int(pid)}:
                    self._forked(member, pid, "")
                case _:
                    self._forked(member, 0, str(answer.get("error")))

    def reaped(self, pid: int) -> None:
        """Note that a process has ended: one of them, or a worker that is known from now on."""
        self.read()
        for link in [*self._by_generation.values()]:
            if link.pid == pid:
                self._lose(link)

    def _lose(self, link: _Link) -> None:
        """Note that a template has ended, which was not told to."""
        self._forget(link)
        if link.member is None:
            logger.warning(
                "the template process %d has ended: its workers serve on, and another is made "
                "when the next worker is wanted",
                link.pid,
            )
        elif not link.imports:
            self._forked(link.member, 0, f"the template process {link.pid} has ended")

    def _forget(self, link: _Link) -> None:
        """Close what belongs to a template."""
        generations = [each for each, known in self._by_generation.items() if known is link]
        for each in generations:
            del self._by_generation[each]
            self._forking.loop.remove_reader(link.orders.fileno())
            link.orders.close()
            if link.limit is not None:
                link.limit.cancel()

    # --------------------------------------------------------- orders

    def keep(self, fleet: Fleet) -> None:
        """End those of which no worker will be wanted any more."""
        generations = [] if fleet.is_stopping else [fleet.generation]
        if fleet.reloading is not None:
            generations.append(fleet.reloading.generation)
        for generation, link in [*self._by_generation.items()]:
            if generation not in generations and not link.imports:
                self._forget(link)
                link.kill()
                if link.member is not None:
                    self._forked(link.member, 0, "it is not wanted any more")

    def reopen_logs(self) -> None:
        """Have them open log files again, which their next workers get."""
        for link in self._by_generation.values():
            with contextlib.suppress(OSError):  # it has ended, or does not read
                link.orders.send(json.dumps({"type": "reopen-logs"}).encode())

    def close(self) -> None:
        """End them all."""
        for link in [*self._by_generation.values()]:
            self._forget(link)
            link.kill()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(link.pid, 0)
        if self._adopts:
            adopt_orphans(False)
