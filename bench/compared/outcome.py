"""What a probe found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Whether it is as it should be, what was seen, and what the cell says if not yes or no."""

    good: bool
    seen: str = ""
    text: str = ""

    @property
    def cell(self) -> str:
        return self.text or ("yes" if self.good else "no")
