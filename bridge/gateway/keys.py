"""The keys in Redis of gateways and workers (rule L9).

======================  ==========  ==============================================================
key                     type        what is in it
======================  ==========  ==============================================================
``PREFIX:requests``     stream      requests that no worker has taken: fields `g`, the name of the
                                    gateway, and `r`, `protocol.encode_request`
``PREFIX:in:PROCESS``   list        the packets to one process
``PREFIX:peers``        hash        process -> msgpack {kind, ids, host, pid}: what it is, and the
                                    numbers that Redis gave its two connections
``PREFIX:seen``         sorted set  process -> when it was last heard of: milliseconds since 1970
                                    by Redis' clock
======================  ==========  ==============================================================

The stream has one consumer group, `GROUP`; a consumer has the name of its process (`Bus.name`). How
a request is taken, so that it runs at most once, whoever dies:

1. A worker reads entries (XREADGROUP): they are *pending* for it, and still in the stream.
2. It claims one: XDEL. 1: it is the worker's. 0: its gateway has withdrawn it (also by XDEL), and
   the worker only acknowledges it (XACK).
3. It posts the first frame of the session to the gateway, and behind it XACK (`Outbox`). That frame
   is the whole response, or, if that takes longer than some milliseconds, TAKEN.

So a request that a worker has read is pending for it until its gateway knows which worker that is:
a gateway that waits for a worker looks there for the dead.
"""

from __future__ import annotations

from typing import Final

#: The consumer group of the stream of requests.
GROUP: Final = "workers"


class Keys:
    """The keys below one prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.requests = f"{prefix}:requests"
        self.peers = f"{prefix}:peers"
        self.seen = f"{prefix}:seen"

    def inbox(self, process: str) -> str:
        """Return the key of the packets to `process`."""
        return f"{self.prefix}:in:{process}"
