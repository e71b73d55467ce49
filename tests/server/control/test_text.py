"""What an operator reads: units, columns, and nothing that a terminal would obey."""

from __future__ import annotations

import asyncio
import re

import pytest

from bridge.server.control.orders import WorkerStatus
from bridge.server.control.text import (
    duration,
    printable,
    size,
    stacks_text,
    status_text,
    summary,
    workers_table,
)
from tests.support.orders import Supervised


def worker(**changes: object) -> WorkerStatus:
    about: dict[str, object] = {"slot": 0, "pid": 4711, "generation": 2, "state": "serving"}
    about |= {"age": 3725.0, "served": 1234567, "connections": 64, "websockets": 3, "busy": 5}
    about |= {"lag": 0.0012, "rss": 88 << 20, "cpu": 61.25}
    return about | changes  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-1, "0.0 s"),
        (4.25, "4.2 s"),
        (59.9, "59 s"),
        (185, "3 min 5 s"),
        (3725, "1 h 2 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_times_have_two_units(seconds: float, shown: str) -> None:
    """O3: what an age is can be read at a glance."""
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (88 << 20, "88.0 MiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes_have_one_unit(count: int, shown: str) -> None:
    """O3: memory in the unit that keeps it short."""
    assert size(count) == shown


def test_workers_are_lines_with_aligned_columns() -> None:
    """O3: numbers at the right; what is not known is a dash."""
    young = worker(slot=1, pid=9, state="starting", age=0.5, served=0, connections=0, websockets=0)
    unknown = WorkerStatus(**{**young, "busy": 0, "lag": None, "rss": None, "cpu": None})  # type: ignore[typeddict-item]
    lines = workers_table([worker(), unknown]).split("\n")
    assert [re.sub("  +", "  ", line.strip()) for line in lines] == [
        "SLOT  PID  GEN  STATE  AGE  SERVED  CONNS  WS  BUSY  LAG  MEMORY  CPU",
        "0  4711  2  serving  1 h 2 min  1,234,567  64  3  5  1.2 ms  88.0 MiB  61.2 s",
        "1  9  2  starting  0.5 s  0  0  0  0  -  -  -",
    ]
    assert len({len(line) for line in lines}) == 1
    assert lines[0].index("STATE") == lines[1].index("serving") == lines[2].index("starting")


def test_with_rates_there_are_shares() -> None:
    """O3: `top` shows requests a second, and the share of a CPU."""
    first, second, third = workers_table(
        [worker(), worker(pid=5), worker(pid=6)], {4711: (1500.25, 98.6), 5: (0.0, None)}
    ).split("\n")[1:]
    assert "1,234,567  1,500.2" in first
    assert first.endswith("99 %")
    assert second.endswith("-")
    assert third.count("-") == 2
    assert workers_table([]).startswith("SLOT  PID")


def test_a_server_is_described_in_words() -> None:
    """O3: the status begins with what one asks first."""

    async def described() -> tuple[str, str]:
        supervised = Supervised()
        status, now = supervised.status(), supervised.started + 90
        return status_text(status, now), summary(status, supervised.workers(), now)

    text, short = asyncio.run(described())
    first, app, listens, running, workers, requests = text.split("\n")
    assert first.startswith("server    asgi-bridge 0.1, process ")
    assert first.endswith(", serving")
    assert app == "app       shop:app"
    assert listens == "listens   http://127.0.0.1:8000"
    assert running.startswith("running   1 min 30 s, since 20")
    assert workers == "workers   2 wanted, generation 1"
    assert requests == "requests  12,345 served, 67.8 a second"
    assert short == (
        "shop:app (serving)  up 1 min 30 s  generation 1  2 of 2 workers  6 connections  "
        "12,345 served  67.8 req/s"
    )


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    """O8: a name may hold escape sequences; lines and tabs of a stack stay."""
    assert printable("a\x1b[2Jb\tc\nd\x9b\u202e") == "a?[2Jb\tc\nd??"
    assert stacks_text({"7": "one\n", "8": "two\x07"}) == "worker 7\none\n\nworker 8\ntwo?"
