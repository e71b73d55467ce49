"""What a supervisor has of each of its workers: its end of the channel, and a seat on the board."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import NoReturn, Protocol, TypeAlias

from bridge.server.config.config import Config
from bridge.server.network.listeners import Listener
from bridge.server.network.load_board import LoadBoard, Seat
from bridge.server.process.channel import Channel, ChannelClosed, Message
from bridge.server.process.fleet.members import Fork, Member
from bridge.server.process.stacks import StackFile

#: Takes what a worker has said.
Listen: TypeAlias = Callable[[Member, list[Message]], None]


class Ends:
    """What is made for a worker before it is forked. Raises `OSError` if the system has no more."""

    def __init__(self, board: LoadBoard) -> None:
        #: The supervisor's end, and the worker's.
        self.ours, self.theirs = Channel.pair()
        try:
            #: Where it writes its stacks, also if it hangs.
            self.stacks = StackFile()
        except OSError:
            self.ours.close()
            self.theirs.close()
            raise
        #: Where it says how many connections it has.
        self.seat: Seat = board.take()

    def close(self) -> None:
        """Close it all, if no worker has come of it, or when it is gone."""
        self.ours.close()
        self.theirs.close()
        self.stacks.close()
        self.seat.free()


class RunWorker(Protocol):
    """What a worker does, in its process: `worker.run_worker`."""

    def __call__(
        self,
        config: Config,
        listeners: Sequence[Listener],
        channel: Channel,
        *,
        slot: int,
        seat: Seat | None = None,
        stacks: StackFile | None = None,
    ) -> NoReturn:
        """Serve at `listeners`, and end the process; `channel` is the worker's end."""
        ...


def be_worker(
    run_worker: RunWorker, fork: Fork, listeners: Sequence[Listener], ends: Ends
) -> NoReturn:
    """In the child: be the worker; what belongs to the supervisor's loop has been left behind."""
    ends.ours.close()
    run_worker(
        fork.config,
        listeners,
        ends.theirs,
        slot=fork.member.slot,
        seat=ends.seat,
        stacks=ends.stacks,
    )


class Links:
    """The links to all workers, on the supervisor's loop; `listen` takes what they say."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listen: Listen) -> None:
        self._loop = loop
        self._listen = listen
        self._board = LoadBoard()
        self._ends: dict[Member, Ends] = {}
        #: Those whose channel is open.
        self._channels: dict[Member, Channel] = {}

    def make(self) -> Ends:
        """Make what a new worker needs. Raises `OSError`."""
        return Ends(self._board)

    def add(self, member: Member, ends: Ends) -> None:
        """Listen to a worker that has just been forked. Its own end is closed here."""
        ends.theirs.close()
        self._ends[member], self._channels[member] = ends, ends.ours
        self._loop.add_reader(ends.ours.fileno(), self.read, member)

    def read(self, member: Member) -> None:
        """Take what the worker has said; at the end of its channel, close that."""
        channel = self._channels.get(member)
        if channel is None:
            return
        try:
            messages = channel.receive()
        except ChannelClosed:
            self._hang_up(member)
        else:
            self._listen(member, messages)

    def tell(self, member: Member, message: Message) -> None:
        """Send `message`; what the worker does not take at once waits. One that is gone gets none.

        The end of a process is told when it is reaped.
        """
        channel = self._channels.get(member)
        if channel is None:
            return
        with contextlib.suppress(ChannelClosed):
            channel.send(message)
            if channel.waiting:
                self._loop.add_writer(channel.fileno(), self._flush, channel)

    def tell_all(self, message: Message) -> None:
        """Send `message` to all workers."""
        for member in [*self._channels]:
            self.tell(member, message)

    def _flush(self, channel: Channel) -> None:
        with contextlib.suppress(ChannelClosed):
            channel.flush()
            if channel.waiting:
                return
        self._loop.remove_writer(channel.fileno())

    def _hang_up(self, member: Member) -> None:
        channel = self._channels.pop(member, None)
        if channel is not None:
            self._loop.remove_reader(channel.fileno())
            self._loop.remove_writer(channel.fileno())
            channel.close()

    def stacks(self, member: Member) -> StackFile | None:
        """Return where a worker writes its stacks at a signal; None: it is gone."""
        ends = self._ends.get(member)
        return None if ends is None else ends.stacks

    def remove(self, member: Member) -> None:
        """Free what belongs to a worker that is gone."""
        self._hang_up(member)
        ends = self._ends.pop(member, None)
        if ends is not None:
            ends.close()
