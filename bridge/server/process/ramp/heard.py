"""What the ramp notes of its workers, and of the orders that wait for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final


@dataclass
class Heard:
    """What a worker has said of itself: the serial that it follows, and what is wrong with it."""

    serial: int = 0
    error: str = ""
    new_failed: str = ""
    #: Path -> text, as it was told last.
    texts: dict[str, str] = field(default_factory=dict)


@dataclass
class Waiting:
    """An order that waits until all workers follow."""

    serial: int
    text: str
    answer: asyncio.Future[str]
    #: What is to be said behind the answer.
    note: str = ""


#: Stands for a worker that has said nothing.
NOBODY: Final = Heard()
