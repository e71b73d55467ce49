"""A process's way to all gateways and workers that use the same Redis (rules L9, L10, L13).

Each process has a name and a queue, its *inbox*. `Bus` registers it, reads the inbox and hands the
frames in it to their sessions, and writes the frames of its sessions to the inboxes of others: all
that leave in one turn of the loop for one process are one packet.

It watches the processes that its sessions wait for: if one dies, its sessions are lost. If the
connection to Redis breaks, or Redis does not answer, all sessions are lost, because nobody knows
what still arrives.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final

import msgpack

from bridge.channels.redis.connection import Refused
from bridge.channels.redis.link import FIRST_PAUSE, Link
from bridge.errors import BridgeError, LayerUnavailable, pluralize
from bridge.gateway import protocol, scripts
from bridge.gateway.endings import Endings
from bridge.gateway.keys import Keys
from bridge.gateway.outbox import Outbox
from bridge.gateway.peers import LOOK_INTERVAL, Peers
from bridge.gateway.protocol import Frame, FrameParts, Request, UnreadablePacket
from bridge.gateway.session import Party, Session, SessionLost
from bridge.log import logger
from bridge.types import Message

#: Seconds between two heartbeats.
BEAT_INTERVAL: Final = 2.0
#: Seconds for the wait for packets to end when it is told to.
_END_LIMIT: Final = 1.0
#: The frames with which a worker begins: it has taken a request, or has lost it.
_FIRST: Final = (protocol.TAKEN, protocol.ANSWER, protocol.CANCEL)
#: The frames that end a session.
_LAST: Final = (protocol.END, protocol.ANSWER, protocol.CANCEL)
#: What a Redis says that takes no data any more.
_REFUSES_ALL: Final = ("OOM", "MISCONF", "READONLY", "NOREPLICAS")
#: The most packets that are read at once.
_BATCH: Final = 128


class Bus:
    """The way of one process to the others. `kind` is "gateway" or "worker".

    It belongs to the event loop that opens it.
    """

    def __init__(self, url: str, kind: str, *, prefix: str = "bridge") -> None:
        self.kind = kind
        #: The name of this process: no other has it, ever.
        self.name = f"{kind[0]}.{secrets.token_hex(8)}"
        self.keys = Keys(prefix)
        #: For commands of one's own; `link.wait` is in use.
        self.link = Link(url, name=f"{prefix}.{self.name}")
        #: For frames of one's own, and commands that must follow them.
        self.outbox = Outbox(self.link, self.keys, self.name, self.note_refusal)
        #: What this process has ended.
        self.endings = Endings()
        #: Called when all sessions were lost with the connection; and when all goes on.
        self.on_lost: list[Callable[[], None]] = []
        self.on_back: list[Callable[[], None]] = []
        #: Names more processes to watch; and called with the name of each that is dead.
        self.also_watched: Callable[[], Iterable[str]] = tuple
        self.on_dead: list[Callable[[str], None]] = []
        self._numbers = itertools.count()
        self._sessions: dict[tuple[str, int], Party] = {}
        #: The dead that the last look has found.
        self._dead: set[str] = set()
        #: Those that have been gone for long, as the last heartbeat has found.
        self._gone: list[bytes] = []
        self._peers = Peers(self.link, self.keys)
        #: Whether this process is registered, and sessions can begin; `_back` is set then.
        self.up = False
        self._back = asyncio.Event()
        self.link.on_lost.append(self._lost)
        self.link.on_back.append(self._found)
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []
        #: Registers again, after the connection was lost.
        self._returning: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> int:
        """Return the number of sessions that are not over."""
        return len(self._sessions)

    def _note_up(self, up: bool) -> None:
        self.up = up
        if up:
            self._back.set()
        else:
            self._back.clear()

    # --------------------------------------------------------- open and close

    async def open(self) -> None:
        """Connect, register, and read from now on. Raises `LayerUnavailable`."""
        await self.link.open()
        try:
            await self._beat()
        except (Refused, LayerUnavailable) as error:
            await self.link.close()
            raise LayerUnavailable(
                f"Redis at {self.link.shown} does not do what gateways and workers need: {error}; "
                "its user must be allowed the commands of scripts, streams, lists and hashes, for "
                f"the keys {self.keys.prefix}:*"
            ) from error
        self._closing = False
        self._note_up(True)
        for work in (
            self._read_inbox(),
            _always(self, self._beat, BEAT_INTERVAL),
            _always(self, self._look, LOOK_INTERVAL),
        ):
            self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        """Write what is still to be written, take this process off the lists, and disconnect.

        Sessions that are not over are lost.
        """
        self._closing = True
        self._lose_all(SessionLost("this process ends"))
        reader, *others = self._tasks
        for task in others:
            task.cancel()
        try:
            self.outbox.flush()
            if self.up:
                self.link.unblock()
                await asyncio.wait([reader], timeout=_END_LIMIT)
            await self.link.run(scripts.LEAVE, [self.keys.seen], [self.keys.prefix, self.name])
        except LayerUnavailable:
            pass  # it is gone; other processes find out by themselves
        except Refused as error:
            logger.error("Redis refuses to take %s off its lists: %s", self.name, error)
        reader.cancel()
        await asyncio.wait(self._tasks)
        self._tasks = []
        self._note_up(False)
        await self.link.close()

    # --------------------------------------------------------- sessions

    def ask(self, events: list[Message]) -> Session:
        """Begin a session of this gateway; whoever takes it is its peer.

        `events` go with the request. Without any, nothing may be read before the app asks for it.
        Raises `LayerUnavailable` if Redis is gone.
        """
        session = Session(self, self.name, self.next_number())
        session.pay_first(events)
        self.enter(session)
        return session

    def next_number(self) -> int:
        """Return the number of a session to come. Raises `LayerUnavailable` if Redis is gone."""
        if not self.up:
            raise LayerUnavailable("the connection to Redis is lost, and is being made anew")
        return next(self._numbers)

    def enter(self, party: Party) -> None:
        """Have `party` get the frames of its session, until `forget` is called."""
        self._sessions[party.gateway, party.number] = party

    def accept(self, request: Request) -> Session:
        """Begin the session of a request that this worker has claimed; lost if Redis is gone."""
        session = Session(self, request.gateway, request.session, request.gateway)
        session.take_first(request.events)
        self.enter(session)
        if not self.up:
            session.lose(LayerUnavailable("the connection to Redis was lost"))
        return session

    def has(self, number: int) -> bool:
        """Whether a session that this gateway has asked for is not over."""
        return (self.name, number) in self._sessions

    def forget(self, session: Party) -> None:
        """Take note that `session` is over."""
        self._sessions.pop((session.gateway, session.number), None)

    @property
    def turn(self) -> int:
        """Return a number that changes when what was posted has left."""
        return self.outbox.turn

    def post(self, peer: str, frame: FrameParts) -> None:
        """Write `frame` to the inbox of `peer`, with all others of this turn of the loop.

        Raises `LayerUnavailable` if there is no connection now.
        """
        self.outbox.post(peer, frame)
        if frame[3] in _LAST:
            self.endings.note(frame[0], frame[1], peer)

    # --------------------------------------------------------- from others

    async def _read_inbox(self) -> None:
        inbox = self.keys.inbox(self.name)
        while True:
            await self._back.wait()
            if self._closing:
                return
            try:
                answer = await self.link.wait("BLMPOP", 0, 1, inbox, "LEFT", "COUNT", _BATCH)
            except LayerUnavailable:
                await asyncio.sleep(FIRST_PAUSE)  # the link has logged it, and tells `_lost` soon
                continue
            except Refused as error:
                logger.error("Redis refuses to give %s its packets: %s", self.name, error)
                await asyncio.sleep(BEAT_INTERVAL)
                continue
            if answer is not None:
                for data in answer[1]:
                    self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            sender, frames = protocol.decode_packet(data)
        except UnreadablePacket as error:
            inbox = self.keys.inbox(self.name)
            logger.error("a packet to %s in Redis (%s) was dropped: %s", self.name, inbox, error)
            return
        for frame in frames:
            try:
                # For each frame: what a session does may end another.
                session = self._sessions.get(frame[:2])
                if session is None:
                    self._refuse(sender, frame)
                elif session.peer == sender:
                    session.deliver(frame)
                elif not session.peer and frame.kind in _FIRST:
                    session.peer = sender
                    session.deliver(frame)
                else:
                    owner = session.peer or "nobody yet"
                    log = "a frame by %s for a session that %s has was dropped"
                    logger.error(log, sender, owner)
                    self._refuse(sender, frame)
            except Exception:  # whatever it is, the next ones have to be read
                logger.exception("what %s has sent for a session could not be used", sender)

    def _refuse(self, sender: str, frame: Frame) -> None:
        """Have `sender` end what it does for a session that is not here, or is not its own."""
        if frame.kind in (protocol.EVENTS, protocol.TAKEN):
            with suppress(LayerUnavailable):
                self.post(sender, Frame(frame.gateway, frame.session, 0, protocol.CANCEL, None))

    # --------------------------------------------------------- what is alive

    async def _beat(self) -> None:
        """Say that this process is alive; the dead of long ago are cleared away by the way."""
        about = {
            "kind": self.kind,
            "ids": self.link.client_ids,
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self.outbox.flush()
        mark = self.endings.mark()
        self._gone = await self.link.run(
            scripts.BEAT,
            [self.keys.seen, self.keys.peers],
            [self.keys.prefix, self.name, msgpack.packb(about), *self._gone],
        )
        self.endings.confirm(mark)

    async def _look(self) -> None:
        """Look for the processes that this one waits for; the sessions of the dead are lost."""
        names = {session.peer for session in self._sessions.values() if session.peer}
        names.update(self.also_watched())
        dead = await self._peers.look(names)
        for name, why in dead.items():
            lost = [each for each in self._sessions.values() if each.peer == name]
            for session in lost:
                session.lose(SessionLost(f"{name} is gone: {why}"))
            if name not in self._dead:
                had = pluralize(len(lost), "session")
                logger.error("%s is gone: %s; it had %s of this process", name, why, had)
            for callback in self.on_dead:
                callback(name)
        self._dead = set(dead)

    async def _try(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do something with Redis, again and again: a failure is logged if nobody else has."""
        try:
            await work()
        except LayerUnavailable:
            return False  # the link has logged it
        except Refused as error:
            self.note_refusal(error)
            return False
        return True

    # --------------------------------------------------------- when Redis is gone

    def note_refusal(self, error: Refused) -> None:
        """Take note that Redis refuses what this process cannot do without.

        If it takes nothing at all, it is as good as gone. Frames are lost, too.
        """
        logger.error("Redis refuses %s: %s", self.name, error)
        if error.code in _REFUSES_ALL and self.up:
            self._lost()
            self._returning = asyncio.create_task(self._go_on(BEAT_INTERVAL))

    def _lost(self) -> None:
        self._note_up(False)
        untold = [(gateway, number, gateway) for gateway, number in self.outbox.drop()]
        untold += [(each.gateway, each.number, each.peer) for each in self._sessions.values()]
        self.endings.lose(untold)
        self._lose_all(LayerUnavailable("the connection to Redis was lost"))
        for callback in self.on_lost:
            callback()

    def _lose_all(self, error: BridgeError) -> None:
        if self._returning is not None:
            self._returning.cancel()
            self._returning = None
        for session in list(self._sessions.values()):
            session.lose(error)

    def _found(self) -> None:
        self._returning = asyncio.create_task(self._go_on())

    async def _go_on(self, pause: float = 0) -> None:
        """Register again, and tell others what this process does not have any more."""
        await asyncio.sleep(pause)
        while True:
            if await self._try(self._beat):
                break
            await asyncio.sleep(BEAT_INTERVAL)
        self._note_up(True)
        await self._try(self._tell_others)

    async def _tell_others(self) -> None:
        """Tell whom it concerns; if nobody knows which worker has a session, all of them."""
        for callback in self.on_back:
            callback()
        listed = await self.link.call("HKEYS", self.keys.peers)
        workers = [name.decode() for name in listed if name.startswith(b"w.") and name.isascii()]
        for gateway, number, peer in self.endings.take_untold():
            frame = Frame(gateway, number, 0, protocol.CANCEL, None)
            for each in [peer] if peer else workers:
                self.post(each, frame)


async def _always(bus: Bus, work: Callable[[], Awaitable[None]], interval: float) -> None:
    """Do something again and again, as long as there is a connection."""
    while True:
        await asyncio.sleep(interval)
        await bus._back.wait()
        await bus._try(work)
