"""Interleaved rounds: every row once in each round, on a server started for that sample.

A new process each time means that the median is also over what differs from one process to the
next (memory layout, hash seeds), and that no idle server wakes beside the measured one. Every
second round runs backwards, so that no row always follows the same neighbour.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field

from bench.machine import cores
from bench.measure.figures import Figures
from bench.measure.samples import Row, Sample, Settings
from bench.measure.scenarios import Scenario
from bench.peers.environments import without_places
from bench.peers.processes import Failed
from bench.peers.servers import Absent


@dataclass
class Result:
    """What the rounds gave: `absent` has the reason for each row without any figure."""

    figures: Figures = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    errors: dict[str, list[str]] = field(default_factory=dict)


def run(scenario: Scenario, rows: list[Row], settings: Settings, rounds: int) -> Result:
    """Measure each row `rounds` times."""
    result = Result()
    samples: dict[str, list[Sample | None]] = {row.name: [] for row in rows}
    for number in range(rounds):
        for row in rows if number % 2 == 0 else reversed(rows):
            if row.name not in result.absent:
                _tell(f"round {number + 1} of {rounds}: {row.name}")
                samples[row.name].append(_sample(scenario, row, settings, result))
    _tell("")
    for name, taken in samples.items():
        _collect(name, taken, scenario, result)
    return result


def _sample(scenario: Scenario, row: Row, settings: Settings, result: Result) -> Sample | None:
    request = scenario.request
    if row.path is not None:
        request = dataclasses.replace(request, path=row.path)
    try:
        with cores.alone():
            sample = scenario.measure(row, request, settings)
    except Absent as absent:
        result.absent[row.name] = without_places(str(absent))
    except (Failed, OSError) as error:
        result.errors.setdefault(row.name, []).append(without_places(str(error)))
    else:
        if sample.errors:
            result.errors.setdefault(row.name, []).extend(sample.errors)
        return sample
    return None


def _collect(name: str, taken: list[Sample | None], scenario: Scenario, result: Result) -> None:
    if not any(taken):
        errors = result.errors.pop(name, ["no sample"])
        result.absent.setdefault(name, errors[0])
        return
    result.figures[name] = {
        column.figure: [sample and sample.figures.get(column.figure) for sample in taken]
        for column in scenario.columns
    }


def _tell(text: str) -> None:
    """Progress, on one line of a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
