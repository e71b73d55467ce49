"""Gunicorn's settings: which of them the worker obeys, refuses or ignores (P10).

Each of Gunicorn's settings is in one of the tables below:

    KEPT        Gunicorn does it itself, or `gunicorn.py` does the worker's part
    OBEYED      it sets a setting of this server
    REFUSED     it concerns safety, and this server does something else: an error at the start
    UNUSED      it has no effect: a warning, if it differs from its default

A setting that is in no table is newer than this file, and is treated as UNUSED.
"""

from __future__ import annotations

import os
import ssl
from typing import Any, Final

from bridge.errors import ConfigError
from bridge.log import logger
from bridge.server.config.config import Config
from bridge.server.config.sources import Layer, ignored_variables, make_config

_KEPT: Final = """
    config wsgi_app bind workers worker_class max_requests max_requests_jitter timeout
    reload reload_engine reload_extra_files spew check_config print_config preload_app
    reuse_port chdir daemon raw_env pidfile worker_tmp_dir user group umask initgroups
    accesslog disable_redirect_access_to_syslog access_log_format errorlog loglevel
    capture_output logger_class logconfig logconfig_dict logconfig_json syslog_addr syslog
    syslog_prefix syslog_facility enable_stdio_inheritance statsd_host dogstatsd_tags
    statsd_prefix enable_backlog_metric proc_name default_proc_name pythonpath paste
    raw_paste_global_conf on_starting on_reload when_ready pre_fork post_fork
    post_worker_init worker_int worker_abort pre_exec child_exit worker_exit
    nworkers_changed on_exit ssl_context dirty_apps dirty_workers dirty_timeout
    dirty_threads dirty_graceful_timeout on_dirty_starting dirty_post_fork dirty_worker_init
    dirty_worker_exit control_socket control_socket_mode control_socket_disable
"""
KEPT: Final = {
    *_KEPT.split(),
    "permit_unconventional_http_method",  # any method is passed on anyway
    "uwsgi_allow_ips",  # its protocol, uwsgi, is refused
}

#: Gunicorn's setting -> ours; used only if it differs from its default.
WHERE_GIVEN: Final = {
    "threads": "threads",
    "worker_connections": "limit_connections",
    "limit_request_line": "limit_request_line",
    "limit_request_fields": "limit_header_count",
    "limit_request_field_size": "limit_header_field_size",
    "asgi_lifespan": "lifespan",
    "root_path": "root_path",
    "websocket_max_message_size": "ws_max_message_size",
}
#: What 0 means in Gunicorn for these.
_ZERO: Final = {"limit_request_line": 1024 * 1024, "limit_request_fields": 32768}

#: All settings that the worker obeys; `_always` reads those that are not in `WHERE_GIVEN`.
OBEYED: Final = WHERE_GIVEN.keys() | {
    *("backlog", "graceful_timeout", "keepalive", "forwarded_allow_ips", "proxy_protocol"),
    *("proxy_allow_ips", "certfile", "keyfile", "ca_certs", "cert_reqs", "ciphers"),
}

#: What this server does instead of a setting that it refuses.
REFUSED: Final = {
    "secure_scheme_headers": "X-Forwarded-Proto and X-Forwarded-Ssl tell the scheme here, and must "
    "agree; have your proxy set one of them and remove the others",
    "forwarder_headers": "fields with an underscore in their names reach no WSGI app here; for "
    "SCRIPT_NAME, set --root-path",
    "header_map": "a field with an underscore in its name is dropped here, as `drop` says",
    "strip_header_spaces": "a space before a field's colon is a 400 here (request smuggling)",
    "permit_obsolete_folding": "a folded field is a 400 here (request smuggling)",
    "permit_unconventional_http_version": "HTTP/1.0 and HTTP/1.1 alone are spoken here",
    "casefold_http_method": "methods are passed on as they came here",
    "protocol": "HTTP alone is spoken here",
}

UNUSED: Final = {
    "sendfile": "files are sent by the system if it can do that",
    "tmp_upload_dir": "bodies are not written to files",
    "ssl_version": "TLS 1.2 and later are spoken; for others, write an `ssl_context` hook",
    "suppress_ragged_eofs": "the event loop does TLS",
    "do_handshake_on_connect": "the event loop does TLS",
    "http_protocols": "HTTP/1.1 is spoken",
    "http2_cleartext": "HTTP/1.1 is spoken",
    "http2_max_concurrent_streams": "HTTP/1.1 is spoken",
    "http2_initial_window_size": "HTTP/1.1 is spoken",
    "http2_max_frame_size": "HTTP/1.1 is spoken",
    "http2_max_header_list_size": "HTTP/1.1 is spoken",
    "pre_request": "hooks around each request are not called",
    "post_request": "hooks around each request are not called",
    "asgi_loop": "the loop is uvloop's if it is installed",
    "asgi_disconnect_grace_period": "an app is told that its client has left, and not cancelled",
    "http_parser": "the parser is llhttp",
}

#: Settings of ours that have no effect here.
_OF_A_SUPERVISOR: Final = ("metrics_bind", "drain_delay")

_CERT_REQS: Final = {
    ssl.CERT_NONE: "none",
    ssl.CERT_OPTIONAL: "optional",
    ssl.CERT_REQUIRED: "required",
}


def worker_config(cfg: Any, app: object) -> Config:
    """Convert Gunicorn's settings to a `Config`. They win over ``BRIDGE_*`` variables.

    Raises `ConfigError` for a setting that is refused or wrong.
    """
    for name in _changed(cfg):
        if name in REFUSED:
            raise ConfigError(
                f"Gunicorn's {name} is {cfg.settings[name].get()!r}, and this worker cannot do "
                f"that: {REFUSED[name]}. Take the setting away, or use another worker class"
            )
        if name not in KEPT | OBEYED:
            why = UNUSED.get(name, "this version does not know the setting")
            logger.warning("Gunicorn's %s has no effect with this worker: %s", name, why)
    settings = _always(cfg, app)
    for theirs, ours in WHERE_GIVEN.items():
        if theirs in _changed(cfg):
            value = cfg.settings[theirs].get()
            settings[ours] = value if value != 0 else _ZERO.get(theirs, value)
    if "root_path" not in settings and os.environ.get("SCRIPT_NAME"):
        settings["root_path"] = os.environ["SCRIPT_NAME"]
    layer: Layer = {name: (value, f"Gunicorn's {name}") for name, value in settings.items()}
    environ = {name: value for name, value in os.environ.items() if name.startswith("BRIDGE_")}
    for line in ignored_variables(environ, layer):
        logger.warning(line)
    config = make_config(layer, environ, None)
    for name in _OF_A_SUPERVISOR:
        if name in config.sources:
            logger.warning(
                "%s has no effect with this worker: Gunicorn is the supervisor",
                config.sources[name],
            )
    return config


def _changed(cfg: Any) -> list[str]:
    """Return the names of the settings that differ from their defaults."""
    return [name for name, each in cfg.settings.items() if each.get() != _default(each)]


def _default(setting: Any) -> Any:
    """Return the default of a setting, normalized like a value that is given."""
    return type(setting)().get()


def _always(cfg: Any, app: object) -> dict[str, object]:
    """Convert the settings that are taken from Gunicorn even if they are its defaults."""
    grace = cfg.graceful_timeout
    settings: dict[str, object] = {
        "app": app,
        "workers": 1,
        "reload": False,
        "access_log": False,
        "backlog": cfg.backlog,
        "timeout_keep_alive": cfg.keepalive,
        # Gunicorn kills the worker at the end of its own time; ours must end a little sooner.
        "timeout_graceful_shutdown": max(grace - 1, grace / 2),
        # Gunicorn always trusts peers on Unix sockets.
        "forwarded_allow_ips": ",".join([*cfg.forwarded_allow_ips, "unix"]),
        "proxy_protocol": cfg.proxy_protocol not in (False, None, "off"),
        "proxy_protocol_allow_ips": ",".join([*cfg.proxy_allow_ips, "unix"]),
    }
    if cfg.is_ssl:
        settings |= {
            "ssl_certfile": cfg.certfile,
            "ssl_keyfile": cfg.keyfile,
            "ssl_ca_certs": cfg.ca_certs,
            "ssl_cert_reqs": _CERT_REQS[ssl.VerifyMode(cfg.cert_reqs)],
            "ssl_ciphers": cfg.ciphers,
        }
    return settings
