"""The settings of processes: how many workers, when one is replaced, and how they are watched."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.arguments.values import Hook, Path, Place, Seconds, Size, Texts
from bridge.server.config.setting import setting
from bridge.server.config.worker_count import Workers

_PROCESS = "Processes"
_OPERATIONS = "Operations"

#: The least `max_blocking_time`, in seconds, but for 0.
SHORTEST_BLOCKING_TIME = 0.01

#: The settings that are functions to call.
HOOKS = ("on_start", "post_fork", "worker_exit")


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """Rows of `Config`."""

    workers: Workers = setting(
        1,
        "Worker processes; `auto`: one for each processor. With several, one more process watches "
        "them, and replaces those that crash.",
        _PROCESS,
        short="-w",
        env=("WEB_CONCURRENCY",),
        minimum=1,
        maximum=1000,
    )
    preload: bool = setting(
        False,
        "Import the app once, in a process that workers are forked from: they share its memory. "
        "Needs Linux.",
        _PROCESS,
    )
    max_requests: int = setting(
        0,
        "A worker that has served so many is replaced; the next one is there before it goes.",
        _PROCESS,
        aliases=("--limit-max-requests",),
        minimum=0,
        zero_means="any",
    )
    max_requests_jitter: int = setting(
        0,
        "For each worker, a number up to this one is added to `max_requests` by chance.",
        _PROCESS,
        aliases=("--limit-max-requests-jitter",),
        minimum=0,
    )
    max_rss: Size = setting(
        0,
        "A worker whose memory (resident set) is larger is replaced.",
        _PROCESS,
        minimum=0,
        zero_means="any",
    )
    max_lifetime: Seconds = setting(
        0.0,
        "A worker that has served for longer is replaced.",
        _PROCESS,
        minimum=0,
        zero_means="any",
    )
    timeout_worker: Seconds = setting(
        30.0,
        "For the event loop of a worker to turn once; then it is blocked: its stack is logged, and "
        "it is killed and replaced. A start may take as long as it likes.",
        _PROCESS,
        short="-t",
        aliases=("--timeout", "--timeout-worker-healthcheck"),
        minimum=0,
        zero_means="any",
    )
    max_blocking_time: Seconds = setting(
        0.1,
        "For one call of an app to hold the event loop; then the log names the line that blocks.",
        _PROCESS,
        minimum=0,
        zero_means="any",
    )
    on_start: Hook | None = setting(
        None,
        "A function to call before the first worker is forked; here and below, it gets the "
        "settings, and one that raises is logged.",
        _PROCESS,
    )
    post_fork: Hook | None = setting(
        None,
        "A function to call in each worker, before the app is imported; with `preload`, after it.",
        _PROCESS,
    )
    worker_exit: Hook | None = setting(
        None, "A function to call in each worker at its end, after the app's shutdown.", _PROCESS
    )
    reload: bool = setting(
        False,
        "Start new workers when a file changes; for development. What cannot start waits for the "
        "next change. Needs watchfiles: `pip install 'asgi-bridge[reload]'`.",
        _PROCESS,
    )
    reload_dir: Texts = setting(
        (),
        "What to watch, with all below it; if not set, the working directory, and `app_dir`.",
        _PROCESS,
    )
    reload_include: Texts = setting(
        (), "Patterns of more files to watch than `*.py`: `*.html`.", _PROCESS
    )
    reload_exclude: Texts = setting(
        (), "Patterns of files and directories not to watch: `migrations`, `test_*.py`.", _PROCESS
    )
    reload_delay: Seconds = setting(
        0.25, "For more changes to come after one, before the reload.", _PROCESS, minimum=0
    )

    control_socket: Path | None = setting(
        None,
        "Take the orders of `asgi-bridge ctl` at this Unix socket, even with one worker; `off`: "
        "take none. If not set: with several workers, or `--cutover`, in a directory that `ctl` "
        "knows.",
        _OPERATIONS,
    )
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

    @property
    def supervised(self) -> bool:
        """Whether a supervisor is needed: it forks the process that serves, and watches it."""
        has_hooks = any(getattr(self, name) is not None for name in HOOKS)
        has_orders = self.control_socket not in (None, "off")
        may_be_replaced = self.max_requests or self.max_rss or self.max_lifetime
        is_wished = self.preload or self.reload
        return bool(self.workers > 1 or may_be_replaced or has_orders or has_hooks or is_wished)
