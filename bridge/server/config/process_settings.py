"""The settings of processes: how many workers, when one is replaced, and how they are watched."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.server.config.setting import setting
from bridge.server.config.worker_count import Workers

_PROCESS = "Processes"


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """Rows of `Config`."""

    workers: Workers = setting(
        1,
        "Worker processes. More than 1 is refused for now; Gunicorn runs several.",
        _PROCESS,
        short="-w",
        env=("WEB_CONCURRENCY",),
        minimum=1,
        maximum=10000,
    )
    reload: bool = setting(False, "Start again when a file changes. Refused for now.", _PROCESS)
