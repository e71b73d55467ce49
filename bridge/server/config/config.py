"""The settings of the server: the only list of them.

The command line, the environment, the file format and docs/reference/settings.md are made from
`Config`. To add a setting, add its row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.arguments.checks import (
    LogConfig,
    Mode,
    Mounts,
    Path,
    Place,
    Seconds,
    Size,
    Texts,
)
from bridge.errors import ConfigError
from bridge.server.config.setting import Setting, running, setting, settings_of
from bridge.server.proxy.forwarded import FAMILIES

_APP = "The app"
_RUNNER = "How WSGI apps run"
_LISTEN = "Listening"
_HTTP = "HTTP"
_LIMITS = "Limits"
_TIMEOUTS = "Timeouts"
_WEBSOCKET = "WebSocket"
_TLS = "TLS"
_PROXY = "Behind a proxy"
_LOGS = "Logs"
_PROCESS = "Processes"

KiB = 1024
MiB = 1024 * KiB


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting of the server, checked; unchangeable once made.

    From Python, sizes are bytes, times are seconds, and `app` may be the app itself.
    Raises `ConfigError` for a value that is not allowed, or for settings that contradict.
    """

    app: object = setting(
        None,
        "The app: `module:attr`, the module alone if that is `app` or `application`, or a call of "
        'what makes it: `module:create_app()`, `module:create_app("production")`.',
        _APP,
    )
    mount: Mounts = setting(
        (),
        "Mount an app at a prefix, as `/api=new.asgi:app`. The target may begin with its kind: "
        "`/=wsgi:legacy.wsgi:application`. Repeatable.",
        _APP,
    )
    interface: str = setting(
        "auto",
        "The kind of the app; `auto` tells it by its signature.",
        _APP,
        choices=("auto", "asgi3", "asgi2", "asgi1", "wsgi"),
    )
    factory: bool = setting(
        False,
        "The target is a function to call, which returns the app; so are all mounts that are not "
        "written as a call.",
        _APP,
    )
    app_dir: Path = setting(".", "The directory that is put first on the import path.", _APP)
    root_path: Place = setting("", "The path under which a proxy mounts the app.", _APP)
    lifespan: str = setting(
        "auto",
        "Startup and shutdown of ASGI apps; `auto` tolerates apps that do not know them.",
        _APP,
        choices=("auto", "on", "off"),
    )

    # Where the app says something of these itself, that holds.
    runner: str = running(
        "runner",
        "How WSGI apps run: in threads, in greenlets on the event loop, or called right there.",
        _RUNNER,
        short="-k",
    )
    threads: int = running(
        "threads",
        "The most threads of one WSGI app; they start when needed.",
        _RUNNER,
    )
    queue_limit: int = running(
        "queue_limit",
        "The most requests that wait for a thread; beyond it the answer is 503.",
        _RUNNER,
    )
    queue_timeout: Seconds = running(
        "queue_timeout",
        "For a request to get a thread; then 503. It gives its place back if its client leaves.",
        _RUNNER,
    )
    websocket: bool = running(
        "websocket",
        "Give WSGI apps WebSockets, as `werkzeug.socket` (flask-sock).",
        _RUNNER,
    )
    strict: bool = running(
        "strict",
        "A WSGI response that PEP 3333 does not allow is a 500, also if most servers take it: "
        "hop-by-hop fields, and fields as lists.",
        _RUNNER,
    )

    host: str = setting("127.0.0.1", "The address to listen at.", _LISTEN)
    port: int = setting(
        8000, "The port; 0 takes a free one.", _LISTEN, env=("PORT",), least=0, most=65535
    )
    bind: Texts = setting(
        (),
        "Listen here instead of at host and port: `host:port`, `[::1]:port`, `unix:path` or "
        "`fd://N`. Repeatable. The sockets that systemd passes are served as well.",
        _LISTEN,
        short="-b",
    )
    backlog: int = setting(
        2048, "Connections that the kernel keeps waiting to be accepted.", _LISTEN, least=1
    )
    uds_mode: Mode = setting(
        0o666, "Permissions of Unix sockets, as octal digits.", _LISTEN, least=0, most=0o777
    )

    server_header: bool = setting(True, "Send a `Server` field.", _HTTP)
    date_header: bool = setting(True, "Send a `Date` field.", _HTTP)
    pathsend: bool = setting(
        False,
        "Offer `http.response.pathsend` to ASGI apps: the kernel sends their files. Not for apps "
        "with a middleware that looks at bodies.",
        _HTTP,
    )

    limit_request_line: Size = setting(
        8 * KiB, "The longest request line; beyond it 414.", _LIMITS, least=64
    )
    limit_header_size: Size = setting(
        64 * KiB, "The largest header section; beyond it 431.", _LIMITS, least=256
    )
    limit_header_count: int = setting(
        100,
        "The most header fields; beyond it 431.",
        _LIMITS,
        aliases=("--limit-request-fields",),
        least=1,
    )
    limit_header_field_size: Size = setting(
        0,
        "The longest header field; beyond it 431.",
        _LIMITS,
        aliases=("--limit-request-field_size",),
        least=0,
        zero="any",
    )
    limit_body_size: Size = setting(
        0, "The largest request body; beyond it 413.", _LIMITS, least=0, zero="any"
    )
    limit_body_pace: Size = setting(
        500,
        "Bytes a second that a request body must come at, once it has taken `timeout_body`, and "
        "again over each such time; below it 408.",
        _LIMITS,
        least=0,
        zero="any",
    )
    limit_write_pace: Size = setting(
        240,
        "Bytes a second that a client must take of what waits for it, over each `timeout_write`; "
        "below it the connection is cut. On Unix sockets, taking anything is enough.",
        _LIMITS,
        least=0,
        zero="any",
    )
    limit_connections: int = setting(
        0, "The most open connections; one more gets 503.", _LIMITS, least=0, zero="any"
    )
    limit_requests: int = setting(
        0,
        "The most requests at a time; beyond it 503. Idle connections do not count.",
        _LIMITS,
        aliases=("--limit-concurrency",),
        least=0,
        zero="any",
    )
    limit_pipeline: int = setting(
        16, "The most pipelined requests that wait on one connection.", _LIMITS, least=1
    )

    timeout_header: Seconds = setting(
        10.0, "For a request head, from its first byte; then 408.", _TIMEOUTS, least=0, zero="any"
    )
    timeout_body: Seconds = setting(
        30.0, "For a request body, before its pace is judged.", _TIMEOUTS, least=0, zero="never"
    )
    timeout_body_idle: Seconds = setting(
        20.0, "Between two pieces of a request body; then 408.", _TIMEOUTS, least=0, zero="any"
    )
    timeout_keep_alive: Seconds = setting(
        75.0,
        "For the next request on an idle connection.",
        _TIMEOUTS,
        aliases=("--keep-alive",),
        least=0,
    )
    timeout_write: Seconds = setting(
        60.0, "For a client to take anything of what waits for it.", _TIMEOUTS, least=0, zero="any"
    )
    timeout_startup: Seconds = setting(
        60.0, "For the startup of the app's lifespan.", _TIMEOUTS, least=0, zero="any"
    )
    timeout_shutdown: Seconds = setting(
        30.0, "For the shutdown of the app's lifespan.", _TIMEOUTS, least=0, zero="any"
    )
    timeout_graceful_shutdown: Seconds = setting(
        30.0,
        "For requests in flight when the server is told to stop.",
        _TIMEOUTS,
        aliases=("--graceful-timeout",),
        least=0,
    )

    ws_max_message_size: Size = setting(
        16 * MiB,
        "The largest message, inflated; beyond it 1009.",
        _WEBSOCKET,
        aliases=("--ws-max-size", "--websocket-max-message-size"),
        least=1,
    )
    ws_max_frame_size: Size = setting(
        0, "The largest frame; beyond it 1009.", _WEBSOCKET, least=0, zero="any"
    )
    ws_max_queue: int = setting(
        32, "Messages that wait for the app before reading pauses.", _WEBSOCKET, least=1
    )
    ws_ping_interval: Seconds = setting(
        20.0, "Between two pings.", _WEBSOCKET, least=0, zero="none"
    )
    ws_ping_timeout: Seconds = setting(
        20.0, "For a pong; then 1011.", _WEBSOCKET, least=0, zero="any"
    )
    ws_per_message_deflate: bool = setting(True, "Offer compression (RFC 7692).", _WEBSOCKET)

    ssl_certfile: Path | None = setting(
        None, "The certificate, with its chain (PEM).", _TLS, aliases=("--certfile",)
    )
    ssl_keyfile: Path | None = setting(
        None,
        "The private key, where the certificate's file does not hold it.",
        _TLS,
        aliases=("--keyfile",),
    )
    ssl_keyfile_password: str | None = setting(None, "The password of the key.", _TLS, secret=True)
    ssl_ca_certs: Path | None = setting(
        None,
        "The authorities that client certificates are checked against.",
        _TLS,
        aliases=("--ca-certs",),
    )
    ssl_cert_reqs: str = setting(
        "none",
        "Whether clients must have a certificate.",
        _TLS,
        choices=("none", "optional", "required"),
    )
    ssl_ciphers: str | None = setting(
        None, "The ciphers of TLS 1.2, as OpenSSL names them.", _TLS, aliases=("--ciphers",)
    )

    proxy_headers: bool = setting(
        True, "Believe `Forwarded` and `X-Forwarded-*` of trusted proxies.", _PROXY
    )
    forwarded_allow_ips: str = setting(
        "127.0.0.1,::1",
        "The proxies to trust: addresses and networks with commas between them, or `*`.",
        _PROXY,
        env=("FORWARDED_ALLOW_IPS",),
    )
    forwarded_headers: str = setting(
        "auto",
        "What proxies write, and is read; `auto`: `X-Forwarded-*` if there, else `Forwarded`.",
        _PROXY,
        choices=FAMILIES,
    )
    proxy_protocol: bool = setting(
        False, "Every connection begins with a PROXY protocol header, v1 or v2.", _PROXY
    )
    proxy_protocol_allow_ips: str = setting(
        "127.0.0.1,::1",
        "Who may send a PROXY protocol header, as for `forwarded_allow_ips`; others are cut off.",
        _PROXY,
        aliases=("--proxy-allow-from",),
    )

    access_log: bool = setting(True, "One line for each request, on stdout.", _LOGS)
    access_log_format: str = setting(
        "default",
        "`default`, `common`, `combined`, `json`, or a format of Gunicorn's atoms.",
        _LOGS,
        aliases=("--access-logformat",),
    )
    log_level: str = setting(
        "info",
        "The least of what is logged.",
        _LOGS,
        choices=("critical", "error", "warning", "info", "debug"),
    )
    log_config: LogConfig | None = setting(
        None, "A `logging.config` dictionary, in a TOML, JSON or YAML file.", _LOGS
    )

    workers: int = setting(
        1,
        "Worker processes. More than 1 is refused for now; Gunicorn runs several.",
        _PROCESS,
        short="-w",
        env=("WEB_CONCURRENCY",),
        least=1,
    )
    reload: bool = setting(False, "Start again when a file changes. Refused for now.", _PROCESS)

    #: What said each setting that was given, by its name: `--port`, `PORT`, `port in bridge.toml`.
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read every field through its setting, then look at them together."""
        for each in SETTINGS:
            object.__setattr__(self, each.name, each.read(getattr(self, each.name), each.name))
        for check in _CHECKS:
            check(self)

    def source(self, name: str) -> str | None:
        """What said the setting `name`; None if nobody did, and its default holds."""
        if name in self.sources:
            return self.sources[name]
        default = next(each.default for each in SETTINGS if each.name == name)
        return name if getattr(self, name) != default else None


#: Every setting, in the order of the reference page.
SETTINGS: tuple[Setting, ...] = tuple(settings_of(Config))


# ------------------------------------------------------------- what one row cannot say


def _one_way_to_name_apps(config: Config) -> None:
    if config.app is not None and config.mount:
        raise ConfigError(
            f"both an app ({config.app!r}) and mounts ({', '.join(config.mount)}) are given; "
            "mount the app too: --mount /=module:attr"
        )
    if config.mount and config.interface != "auto":
        raise ConfigError(
            f"interface is {config.interface!r}, and there are several mounted apps; say the kind "
            "in each target: --mount /=wsgi:legacy.wsgi:application"
        )


def _one_process(config: Config) -> None:
    if config.workers > 1:
        raise ConfigError(
            f"workers is {config.workers}, and this version runs one process only. For several, "
            "run: gunicorn -w N -k bridge.server.gunicorn.BridgeWorker module:attr; else set "
            "--workers 1 (it comes from --workers, BRIDGE_WORKERS or a file)"
        )
    if config.reload:
        raise ConfigError(
            "reload is on, and this version cannot reload yet; take away --reload, BRIDGE_RELOAD "
            "or reload in the file, and restart the server by hand"
        )


def _key_belongs_to_certificate(config: Config) -> None:
    needing = {
        "--ssl-keyfile": config.ssl_keyfile,
        "--ssl-keyfile-password": config.ssl_keyfile_password,
        "--ssl-ca-certs": config.ssl_ca_certs,
        "--ssl-ciphers": config.ssl_ciphers,
    }
    given = [flag for flag, value in needing.items() if value is not None]
    if given and config.ssl_certfile is None:
        raise ConfigError(f"{given[0]} is given without --ssl-certfile; TLS needs a certificate")
    if config.ssl_cert_reqs != "none" and config.ssl_ca_certs is None:
        raise ConfigError(
            f"ssl_cert_reqs is {config.ssl_cert_reqs!r} without --ssl-ca-certs; say which "
            "authorities client certificates are checked against"
        )


_CHECKS = (_one_way_to_name_apps, _one_process, _key_belongs_to_certificate)
