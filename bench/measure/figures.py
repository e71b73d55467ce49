"""The figures of a run."""

from __future__ import annotations

from dataclasses import dataclass

#: Row -> figure -> one value per round, None where a round has none.
Figures = dict[str, dict[str, list[float | None]]]


@dataclass(frozen=True)
class Column:
    """A figure as it is shown; the first column of a scenario orders the rows and the chart."""

    figure: str
    label: str
    digits: int = 0
    scale: float = 1.0


def known(values: list[float | None]) -> list[float]:
    """The values of the rounds that gave one."""
    return [value for value in values if value is not None]
