"""Sizes of buffers in bytes, the same everywhere in the bridge."""

from __future__ import annotations

from typing import Final

#: High-water mark: if more waits for the other side, the writer is asked to pause (S12, W21, W39,
#: A20).
HIGH_WATER: Final = 64 * 1024
#: Low-water mark: the writer goes on when no more than this waits.
LOW_WATER: Final = 32 * 1024
#: The most that is read from a socket or a file at a time.
READ_SIZE: Final = 64 * 1024
#: Buffers of at least this size are not copied to join them with their head: `writev` with two
#: buffers costs as much as copying this many bytes, and large allocations are slow in threads.
MIN_UNCOPIED: Final = 16 * 1024
#: The most of a request body in memory; a larger one goes to a temporary file (W22).
SPOOL_LIMIT: Final = 1024 * 1024
#: The most that the system takes for a client, beside what is on its way: 1 MiB and a head, so that
#: a thread need not wait for the client of a usual response. Left to itself Linux takes 4 MB for a
#: client on the same machine, such as a proxy that does not read on.
MOST_UNSENT: Final = 1280 * 1024
