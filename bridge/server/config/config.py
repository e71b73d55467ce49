"""The settings of the server: the only list of them.

The command line, the environment, the file format and docs/reference/settings.md are made from
`Config`. To add a setting, add one row, here or in the base class that has its section. A row says
everything about a setting.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge.arguments.values import CertReqs, LogConfig, Path, Seconds
from bridge.errors import ConfigError
from bridge.server.config.app_settings import AppSettings
from bridge.server.config.limit_settings import LimitSettings
from bridge.server.config.process_settings import SHORTEST_BLOCKING_TIME, ProcessSettings
from bridge.server.config.setting import Setting, setting, settings_of
from bridge.server.proxy.forwarded import FAMILIES

_TLS = "TLS"
_PROXY = "Behind a proxy"
_LOGS = "Logs"
#: The section of settings that no server has that runs its app itself.
BEHIND_GATEWAYS = "Gateways and workers"


@dataclass(frozen=True, kw_only=True)
class Config(ProcessSettings, LimitSettings, AppSettings):
    """Every setting of the server, checked; it cannot be changed once made.

    From Python, sizes are in bytes, times in seconds, and `app` may be the app itself. Raises
    `ConfigError` for a value that is not allowed, or for settings that contradict each other.
    """

    ssl_certfile: Path | None = setting(
        None, "The certificate, with its chain (PEM).", _TLS, aliases=("--certfile",)
    )
    ssl_keyfile: Path | None = setting(
        None,
        "The private key, if the certificate's file does not hold it.",
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
    ssl_cert_reqs: CertReqs = setting(
        "none",
        "Whether clients must have a certificate.",
        _TLS,
        aliases=("--cert-reqs",),
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
        "The proxies that may send a PROXY protocol header, as for `forwarded_allow_ips`; others "
        "are cut off.",
        _PROXY,
        aliases=("--proxy-allow-from",),
    )

    access_log: bool = setting(True, "One line for each request, on stdout.", _LOGS)
    access_log_file: Path | None = setting(
        None,
        "A file for the access log; `-`: standard output. SIGUSR1 opens it again.",
        _LOGS,
        aliases=("--access-logfile",),
    )
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
    log_file: Path | None = setting(
        None,
        "A file for everything else that is logged; `-`: standard error. SIGUSR1 opens it again.",
        _LOGS,
        aliases=("--error-logfile",),
    )
    log_config: LogConfig | None = setting(
        None,
        "A `logging.config` dictionary, in a TOML, JSON or YAML file.",
        _LOGS,
        aliases=("--log-config-json",),
    )

    channels: str | None = setting(
        None,
        "The Redis between gateways and workers: `redis://[user:password@]host:port/number`, "
        "`rediss://` with TLS, or `unix:///path`.",
        BEHIND_GATEWAYS,
        secret=True,
    )
    channels_prefix: str = setting(
        "bridge",
        "The start of all keys in that Redis; gateways and workers with the same one belong "
        "together.",
        BEHIND_GATEWAYS,
    )
    limit_queue: int = setting(
        1000,
        "The most requests, of all gateways, that wait for a worker; one more gets 503.",
        BEHIND_GATEWAYS,
        minimum=1,
    )
    timeout_queue: Seconds = setting(
        30.0, "For a worker to take a request; then 503.", BEHIND_GATEWAYS, minimum=0.1
    )

    #: Setting that was given -> its source: `--port`, `PORT`, `port in bridge.toml`.
    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check every field by its setting, then check them together."""
        for each in SETTINGS:
            object.__setattr__(self, each.name, each.read(getattr(self, each.name), each.name))
        for check in _CHECKS:
            check(self)

    def source(self, name: str) -> str | None:
        """Return the source of the setting `name`; None if it was not given."""
        if name in self.sources:
            return self.sources[name]
        default = next(each.default for each in SETTINGS if each.name == name)
        return name if getattr(self, name) != default else None


#: Every setting, in the order of the reference page.
SETTINGS: tuple[Setting, ...] = tuple(settings_of(Config))


# ------------------------------------------------------------- checks of several settings


def _one_way_to_name_apps(config: Config) -> None:
    if config.app is not None and config.mount:
        raise ConfigError(
            f"both an app ({config.app!r}) and mounts ({', '.join(config.mount)}) are given; "
            "mount the app too: --mount /=module:attr"
        )
    named = f"an app ({config.app!r})" if config.app is not None else "mounts"
    if config.cutover is not None and (config.app is not None or config.mount):
        raise ConfigError(
            f"both {named} and a cutover ({config.cutover}) are given; the cutover's file names "
            "its apps: give that alone"
        )
    if config.cutover is not None and config.interface != "auto":
        raise ConfigError(
            f"interface is {config.interface!r}, and there is a cutover; say the kind in its file: "
            'old = "wsgi:legacy.wsgi:application"'
        )
    if config.mount and config.interface != "auto":
        raise ConfigError(
            f"interface is {config.interface!r}, and there are several mounted apps; say the kind "
            "in each target: --mount /=wsgi:legacy.wsgi:application"
        )


def _one_place_for_logs(config: Config) -> None:
    files = {"--log-file": config.log_file, "--access-log-file": config.access_log_file}
    given = [flag for flag, value in files.items() if value is not None]
    if given and config.log_config is not None:
        raise ConfigError(
            f"{given[0]} and --log-config are given, and each says where logs go; name the file in "
            "the log_config, or take that away"
        )


def _pid_is_no_port(config: Config) -> None:
    if config.pid is not None and config.pid.isdecimal():
        raise ConfigError(
            f"{config.source('pid')} is {config.pid!r}, the file for the number of the process; "
            f"for the port say --port {config.pid}, for a file of that name ./{config.pid}"
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


def _metrics_apart_from_apps(config: Config) -> None:
    spec = config.metrics_bind
    if spec is None:
        return
    if spec.startswith("fd://") or ":" not in spec:
        raise ConfigError(f"metrics_bind is {spec!r}; give host:port, [::1]:port or unix:path")
    served = config.bind or (f"{config.host}:{config.port}",)
    if any(_same_place(spec, each) for each in served):
        raise ConfigError(
            f"metrics_bind is {spec!r}, where the apps are served; choose another port for it, "
            "which the public cannot reach"
        )


def _not_too_many_looks(config: Config) -> None:
    seconds = config.max_blocking_time
    if 0 < seconds < SHORTEST_BLOCKING_TIME:
        raise ConfigError(
            f"max_blocking_time is {seconds:g} s, and must be at least "
            f"{SHORTEST_BLOCKING_TIME:g} s, since each look at the event loop costs something; "
            "0 turns it off"
        )


def _same_place(one: str, other: str) -> bool:
    """Whether two specs of addresses are, or include, the same one."""
    if one.startswith("unix:"):
        return one == other
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    hosts = {host, other_host}
    is_shared = len(hosts) == 1 or bool(hosts & {"", "*", "0.0.0.0", "[::]", "::"})
    return port == other_port != "0" and is_shared


_CHECKS = (
    _one_way_to_name_apps,
    _one_place_for_logs,
    _pid_is_no_port,
    _key_belongs_to_certificate,
    _metrics_apart_from_apps,
    _not_too_many_looks,
)
