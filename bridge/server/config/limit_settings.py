"""The settings that limit sizes, counts and times; and the settings of WebSockets."""

from __future__ import annotations

from dataclasses import dataclass

from bridge.arguments.values import Seconds, Size
from bridge.server.config.setting import setting

_LIMITS = "Limits"
_TIMEOUTS = "Timeouts"
_WEBSOCKET = "WebSocket"

KiB = 1024
MiB = 1024 * KiB


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """Rows of `Config`."""

    limit_request_line: Size = setting(
        8 * KiB, "The longest request line; beyond it 414.", _LIMITS, minimum=64
    )
    limit_header_size: Size = setting(
        64 * KiB,
        "The largest header section; beyond it 431.",
        _LIMITS,
        aliases=("--h11-max-incomplete-event-size",),
        minimum=256,
    )
    limit_header_count: int = setting(
        100,
        "The most header fields; beyond it 431.",
        _LIMITS,
        aliases=("--limit-request-fields",),
        minimum=1,
    )
    limit_header_field_size: Size = setting(
        0,
        "The longest header field; beyond it 431.",
        _LIMITS,
        aliases=("--limit-request-field_size",),
        minimum=0,
        zero_means="any",
    )
    limit_body_size: Size = setting(
        0, "The largest request body; beyond it 413.", _LIMITS, minimum=0, zero_means="any"
    )
    limit_body_pace: Size = setting(
        500,
        "Bytes a second that a request body must come at, once it has taken `timeout_body`, and "
        "again over each such time; below it 408.",
        _LIMITS,
        minimum=0,
        zero_means="any",
    )
    limit_write_pace: Size = setting(
        240,
        "Bytes a second that a client must take of what waits for it, over each `timeout_write`; "
        "below it the connection is cut. On Unix sockets, taking anything is enough.",
        _LIMITS,
        minimum=0,
        zero_means="any",
    )
    limit_connections: int = setting(
        0,
        "The most open connections; one more gets 503.",
        _LIMITS,
        aliases=("--worker-connections",),
        minimum=0,
        zero_means="any",
    )
    limit_requests: int = setting(
        0,
        "The most requests at a time; beyond it 503, or another worker. Idle connections do not "
        "count.",
        _LIMITS,
        aliases=("--limit-concurrency",),
        minimum=0,
        zero_means="any; for a worker 100",
    )
    limit_pipeline: int = setting(
        16, "The most pipelined requests that wait on one connection.", _LIMITS, minimum=1
    )

    timeout_header: Seconds = setting(
        10.0,
        "For a request head, from its first byte; then 408.",
        _TIMEOUTS,
        minimum=0,
        zero_means="any",
    )
    timeout_body: Seconds = setting(
        30.0,
        "For a request body, before its pace is judged.",
        _TIMEOUTS,
        minimum=0,
        zero_means="never",
    )
    timeout_body_idle: Seconds = setting(
        20.0,
        "Between two pieces of a request body; then 408.",
        _TIMEOUTS,
        minimum=0,
        zero_means="any",
    )
    timeout_keep_alive: Seconds = setting(
        75.0,
        "For the next request on an idle connection.",
        _TIMEOUTS,
        aliases=("--keep-alive",),
        minimum=0,
    )
    timeout_write: Seconds = setting(
        60.0,
        "For a client to take anything of what waits for it.",
        _TIMEOUTS,
        minimum=0,
        zero_means="any",
    )
    timeout_startup: Seconds = setting(
        60.0, "For the startup of the app's lifespan.", _TIMEOUTS, minimum=0, zero_means="any"
    )
    timeout_shutdown: Seconds = setting(
        30.0, "For the shutdown of the app's lifespan.", _TIMEOUTS, minimum=0, zero_means="any"
    )
    timeout_graceful_shutdown: Seconds = setting(
        30.0,
        "For requests in flight when the server is told to stop.",
        _TIMEOUTS,
        aliases=("--graceful-timeout",),
        minimum=0,
    )

    ws_max_message_size: Size = setting(
        16 * MiB,
        "The largest message, inflated; beyond it 1009.",
        _WEBSOCKET,
        aliases=("--ws-max-size", "--websocket-max-message-size"),
        minimum=1,
    )
    ws_max_frame_size: Size = setting(
        0, "The largest frame; beyond it 1009.", _WEBSOCKET, minimum=0, zero_means="any"
    )
    ws_max_queue: int = setting(
        32, "Messages that wait for the app before reading pauses.", _WEBSOCKET, minimum=1
    )
    ws_ping_interval: Seconds = setting(
        20.0, "Between two pings.", _WEBSOCKET, minimum=0, zero_means="none"
    )
    ws_ping_timeout: Seconds = setting(
        20.0, "For a pong; then 1011.", _WEBSOCKET, minimum=0, zero_means="any"
    )
    ws_per_message_deflate: bool = setting(True, "Offer compression (RFC 7692).", _WEBSOCKET)
