"""Which other processes are alive, as Redis can tell (rule L10).

A process is dead if Redis has none of its connections any more, twice in a row, or if it has not
been heard of for 30 s: its machine is gone, and Redis does not know yet. A process whose event loop
is busy is not dead: its connections stay.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Final

import msgpack

from bridge.channels.redis.connection import Refused
from bridge.channels.redis.link import Link
from bridge.gateway.keys import Keys
from bridge.log import logger

#: Seconds between two looks.
LOOK_INTERVAL: Final = 0.5
#: Looks in a row that must find a process without connections.
_LOOKS: Final = 2
#: Looks in a row that must find it on no list, or silent: after a FLUSHALL, or when Redis' clock
#: was set, all is well with the next heartbeat.
_LOOKS_FOR_A_BEAT: Final = 10
#: Seconds after the last heartbeat after which a process is dead, whatever Redis has.
SILENCE: Final = 30.0

_ID: Final = re.compile(rb"^id=(\d+) ", re.MULTILINE)


class Peers:
    """Looks for other processes, each time that `look` is called."""

    def __init__(self, link: Link, keys: Keys) -> None:
        self._link = link
        self._keys = keys
        #: Process -> looks in a row that have not found it.
        self._missed: dict[str, int] = {}
        #: Whether Redis refuses to list connections.
        self._heartbeats_only = False

    async def look(self, names: Iterable[str]) -> dict[str, str]:
        """Return those of `names` that are dead, with the reason. Raises `LayerUnavailable`."""
        order = list(names)
        if not order:
            self._missed.clear()
            return {}
        link, keys = self._link, self._keys
        records, seen, (seconds, micros) = await asyncio.gather(
            link.call("HMGET", keys.peers, *order),
            link.call("ZMSCORE", keys.seen, *order),
            link.call("TIME"),
        )
        ids = {name: _ids(record) for name, record in zip(order, records, strict=True)}
        connected = await self._connected(each for both in ids.values() for each in both)
        now = int(seconds) + int(micros) / 1e6
        dead, missed = {}, {}
        for name, record, last in zip(order, records, seen, strict=True):
            silent = 0.0 if last is None else now - float(last) / 1000
            gone = bool(ids[name]) and connected.isdisjoint(ids[name])
            if gone or record is None or silent > SILENCE:
                missed[name] = self._missed.get(name, 0) + 1
                if missed[name] >= (_LOOKS if gone else _LOOKS_FOR_A_BEAT):
                    dead[name] = "it is not connected to Redis any more"
                    if silent > SILENCE and not gone:
                        dead[name] = f"it was last heard of {silent:.0f} s ago"
        self._missed = missed
        return dead

    async def _connected(self, ids: Iterable[int]) -> set[int]:
        """Return those of `ids` that are numbers of connections that Redis has."""
        asked = sorted(set(ids))
        if not asked or self._heartbeats_only:
            return set(asked)
        try:
            listed = await self._link.call("CLIENT", "LIST", "ID", *asked)
        except Refused as error:
            self._heartbeats_only = True
            logger.warning(
                "Redis does not list its connections for us (%s): gateways and workers that die "
                "are noticed after %d s only; allow the command CLIENT LIST to notice in 2 s",
                error,
                SILENCE,
            )
            return set(asked)
        return {int(each) for each in _ID.findall(listed)}


def _ids(record: bytes | None) -> list[int]:
    """Return the numbers of a process's connections; none if they are not known."""
    if record is None:
        return []
    try:
        found = msgpack.unpackb(record)["ids"]
    except (ValueError, TypeError, KeyError, msgpack.exceptions.UnpackException):
        return []
    return [each for each in found if type(each) is int and each > 0] if type(found) is list else []
