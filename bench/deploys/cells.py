"""One cell of the table: a server is started, asked, told, and what its clients saw is counted."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

from bench.deploys.orders import Deployed
from bench.deploys.servers import COLUMNS, Row
from bench.load.deploys.process import crowd
from bench.machine import cores
from bench.peers.environments import Tools
from bench.peers.processes import free_port, started

#: Seconds until all workers have surely started.
SETTLE = 1.5
#: How many failures are kept as text.
SHOWN = 3


@dataclass(frozen=True)
class Cell:
    """Failures that count, those in flight on killed workers, those after SIGTERM; all requests."""

    lost: int
    killed: int
    going: int
    total: int
    kinds: str
    shown: tuple[str, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        apart = f" (+{self.killed + self.going})" if self.killed + self.going else ""
        return f"{self.lost:,}{apart} of {self.total:,}"

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def measure(row: Row, column: str, tools: Tools) -> Cell:
    """Raises ``Absent`` or ``Failed``."""
    port = free_port()
    arguments = row.arguments(tools, column, port)
    with cores.alone(), started(arguments, {}, port) as running:
        time.sleep(SETTLE)
        with crowd(port, row.mixture, tools.python) as clients:
            server = Deployed(running.process, clients)
            COLUMNS[column](server)
            if server.told is None and running.process.poll() is not None:
                server.notes.append(f"the server ended, with code {running.process.returncode}")
            outcome = clients.stop()
    tally = outcome.tally(server.kills, server.told)
    return Cell(
        len(tally.lost),
        len(tally.killed),
        len(tally.going),
        outcome.total,
        tally.kinds(),
        tuple(str(failure) for failure in tally.lost[:SHOWN]),
        tuple(server.notes),
    )
