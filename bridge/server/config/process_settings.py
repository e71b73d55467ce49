"""The settings of processes: how many workers, when one is replaced, and how they are watched."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.arguments.values import Path, Place, Seconds
from bridge.server.config.setting import setting
from bridge.server.config.worker_count import Workers

_PROCESS = "Processes"
_OPERATIONS = "Operations"


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

    pid: Path | None = setting(
        None,
        "Write the number of the process (the supervisor's, if there is one) to this file.",
        _OPERATIONS,
        short="-p",
        aliases=("--pid-file",),
    )
    metrics_bind: str | None = setting(
        None,
        "Answer `/metrics` (for Prometheus), `/live` and `/ready` here: `host:port`, "
        "`[::1]:port` or `unix:path`. Not for the public.",
        _OPERATIONS,
    )
    health_path: Place = setting(
        "",
        "Answer here whether the server is ready (200, else 503), and below it at `/live` whether "
        "it is live, before any app is asked.",
        _OPERATIONS,
    )
    drain_delay: Seconds = setting(
        0.0,
        "For balancers to see that the server is not ready any more, before it stops.",
        _OPERATIONS,
        minimum=0,
    )
