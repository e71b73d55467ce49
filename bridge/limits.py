"""How much may wait in memory, in bytes: the same on every way through the bridge."""

from __future__ import annotations

from typing import Final

#: What may wait on one side of the bridge for the other before the writer is asked to pause (S12,
#: W21, W39, A20).
HIGH_WATER: Final = 64 * 1024
#: And what may still wait when it goes on.
LOW_WATER: Final = 32 * 1024
#: What is read from a socket or a file at a time.
READ_SIZE: Final = 64 * 1024
#: Buffers of this size and more are not copied to be one piece with their head: to have the system
#: collect the two costs as much as to copy so many, and more memory is slow to get in threads.
MIN_UNCOPIED: Final = 16 * 1024
#: What a request body may take in memory; what is larger goes to a file (W22).
SPOOL_LIMIT: Final = 1024 * 1024
