"""What one process writes to others, gathered for one turn of the loop (rule L9)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bridge.channels.redis.connection import Refused
from bridge.channels.redis.link import Link
from bridge.errors import LayerUnavailable
from bridge.gateway import protocol
from bridge.gateway.keys import GROUP, Keys
from bridge.gateway.protocol import FrameParts
from bridge.log import logger


class Outbox:
    """Frames to other processes: all of one turn of the loop for one process are one packet.

    `on_refused` is called if Redis does not take a packet: it is lost then.
    """

    def __init__(
        self, link: Link, keys: Keys, sender: str, on_refused: Callable[[Refused], object]
    ) -> None:
        self._link = link
        self._keys = keys
        self._sender = sender
        self._on_refused = on_refused
        self._frames: dict[str, list[FrameParts]] = {}
        #: The entries of requests that were claimed, by session, until their gateways are told;
        #: and those to be acknowledged this turn.
        self._claimed: dict[tuple[str, int], bytes] = {}
        self._acknowledged: list[bytes] = []
        #: Whether this turn's frames are to leave.
        self._due = False
        #: How often something has left.
        self.turn = 0

    def post(self, peer: str, frame: FrameParts) -> None:
        """Write `frame` to the inbox of `peer`.

        Raises `LayerUnavailable` if there is no connection. A frame whose payload cannot be
        written is logged when the packet leaves, and left out; its reader notices the gap.
        """
        self._set_due()
        frames = self._frames.get(peer)
        if frames is None:
            frames = self._frames[peer] = []
        frames.append(frame)
        if self._claimed:
            entry = self._claimed.pop((frame[0], frame[1]), None)
            if entry is not None:
                self._acknowledged.append(entry)

    def note_claim(self, gateway: str, session: int, entry: bytes) -> None:
        """Acknowledge this entry of the requests right behind the first frame of its session."""
        self._claimed[gateway, session] = entry

    def acknowledge(self, entry: bytes) -> None:
        """Acknowledge this entry right behind this turn's packets. Raises as `post` does."""
        self._set_due()
        self._acknowledged.append(entry)

    def drop(self) -> list[tuple[str, int]]:
        """Forget all that was to leave, as Redis is lost; what is claimed stays pending there.

        Returns the sessions that were claimed, and of which no frame has left.
        """
        self._frames, self._acknowledged = {}, []
        claimed, self._claimed = list(self._claimed), {}
        return claimed

    def _set_due(self) -> None:
        if not self._link.up:
            raise LayerUnavailable("the connection to Redis is lost")
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Write now what there is."""
        self._due = False
        self.turn += 1
        frames, self._frames = self._frames, {}
        entries, self._acknowledged = self._acknowledged, []
        if not self._link.up:
            return  # it was lost in this turn: `Bus` tells the sessions
        for peer, each in frames.items():
            self._write(peer, each)
        if entries:
            self._link.post("XACK", self._keys.requests, GROUP, *entries)

    def _write(self, peer: str, frames: list[FrameParts]) -> None:
        """Write a packet; without those frames that cannot be written."""
        try:
            packet = protocol.encode_packet(self._sender, frames)
        except (TypeError, ValueError, OverflowError) as error:
            if len(frames) == 1:
                logger.error("a message to %s was left out: it cannot be written: %s", peer, error)
                return
            for frame in frames:
                self._write(peer, [frame])
        else:
            inbox = self._keys.inbox(peer)
            self._link.post("RPUSH", inbox, packet, on_refused=self._on_refused)
