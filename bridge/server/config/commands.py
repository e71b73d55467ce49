"""Which settings each command has: those that mean something to it."""

from __future__ import annotations

from typing import Final

from bridge.server.config.config import BEHIND_GATEWAYS, SETTINGS
from bridge.server.config.process_settings import HOOKS

#: `asgi-bridge serve`: all but those of gateways and workers.
SERVE: Final = frozenset(each.name for each in SETTINGS if each.section != BEHIND_GATEWAYS)

_APP: Final = frozenset(
    {
        *("app", "mount", "cutover", "interface", "factory", "app_dir", "lifespan"),
        *("runner", "patch", "threads", "queue_limit", "queue_timeout", "timeout_request"),
        *("stream_after", "stream_limit", "websocket", "strict"),
    }
)

_SUPERVISED: Final = frozenset(
    {
        *("workers", "max_requests", "max_requests_jitter", "max_rss", "max_lifetime"),
        *("timeout_worker", "control_socket", *HOOKS),
        *("reload", "reload_dir", "reload_include", "reload_exclude", "reload_delay"),
    }
)

#: `asgi-bridge gateway`: it has sockets, and no app of its own.
GATEWAY: Final = (
    frozenset(each.name for each in SETTINGS)
    - _APP
    - _SUPERVISED
    - {
        *("pathsend", "max_blocking_time"),
    }
)

#: `asgi-bridge check`: it loads an app, and serves nobody.
CHECK: Final = frozenset({"app", "mount", "cutover", "interface", "factory", "app_dir", "threads"})

#: `asgi-bridge worker`: it has an app, and no sockets.
WORKER: Final = _APP | {
    *("channels", "channels_prefix", "limit_requests", "max_blocking_time"),
    *("timeout_startup", "timeout_shutdown", "timeout_graceful_shutdown"),
    *("log_level", "log_file", "log_config", "metrics_bind"),
}

#: `asgi-bridge routes`: it loads an app, and no more.
ROUTES: Final = frozenset({"app", "mount", "cutover", "interface", "factory", "app_dir"})
