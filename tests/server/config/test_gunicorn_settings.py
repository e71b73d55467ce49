"""Gunicorn's own settings: each is obeyed, refused, or told to have no effect."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest
from gunicorn.config import KNOWN_SETTINGS
from gunicorn.config import Config as GunicornConfig

from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.config.gunicorn_settings import KEPT, OBEYED, REFUSED, UNUSED, worker_config


def converted(**settings: Any) -> Config:
    """What the worker makes of these settings of Gunicorn."""
    cfg = GunicornConfig()
    for name, value in settings.items():
        cfg.set(name, value)
    return worker_config(cfg, "module:app")


def test_every_setting_has_its_place() -> None:
    """P10: no setting of the installed Gunicorn is forgotten, and none is in two tables."""
    tables = KEPT, OBEYED, set(REFUSED), set(UNUSED)
    names = {setting.name for setting in KNOWN_SETTINGS}
    places = {name: sum(name in table for table in tables) for name in names}
    assert {name: count for name, count in places.items() if count != 1} == {}


@pytest.mark.parametrize(
    ("theirs", "value", "ours", "expected"),
    [
        ("backlog", 77, "backlog", 77),
        ("keepalive", 7, "timeout_keep_alive", 7),
        ("graceful_timeout", 20, "timeout_graceful_shutdown", 19),
        ("threads", 3, "threads", 3),
        ("worker_connections", 50, "limit_connections", 50),
        ("limit_request_line", 300, "limit_request_line", 300),
        ("limit_request_line", 0, "limit_request_line", 1024 * 1024),
        ("limit_request_fields", 20, "limit_header_count", 20),
        ("limit_request_fields", 0, "limit_header_count", 32768),
        ("limit_request_field_size", 400, "limit_header_field_size", 400),
        ("limit_request_field_size", 0, "limit_header_field_size", 0),
        ("forwarded_allow_ips", "10.1.2.3,10.2.0.0/16", "forwarded_allow_ips",
         "10.1.2.3,10.2.0.0/16,unix"),
        ("proxy_allow_ips", "10.1.2.3", "proxy_protocol_allow_ips", "10.1.2.3,unix"),
        ("proxy_allow_ips", "*", "proxy_protocol_allow_ips", "*,unix"),
        ("proxy_protocol", True, "proxy_protocol", True),
        ("root_path", "/shop", "root_path", "/shop"),
        ("asgi_lifespan", "off", "lifespan", "off"),
        ("websocket_max_message_size", 4096, "ws_max_message_size", 4096),
    ],
)  # fmt: skip
def test_what_is_obeyed(theirs: str, value: Any, ours: str, expected: Any) -> None:
    """P10: a setting of Gunicorn becomes the server's own."""
    assert getattr(converted(**{theirs: value}), ours) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("secure_scheme_headers", {"X-SSL": "on"}),
        ("forwarder_headers", "REMOTE_USER"),
        ("header_map", "refuse"),
        ("header_map", "dangerous"),
        ("strip_header_spaces", True),
        ("permit_obsolete_folding", True),
        ("permit_unconventional_http_version", True),
        ("casefold_http_method", True),
        ("protocol", "uwsgi"),
    ],
)
def test_what_is_refused(name: str, value: Any) -> None:
    """P10: what concerns safety and is not done here is refused, with what is done instead."""
    with pytest.raises(ConfigError, match=f"Gunicorn's {name} is .* another worker class"):
        converted(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pre_request", lambda worker, request: None),
        ("asgi_loop", "asyncio"),
        ("sendfile", False),
        ("http_protocols", "h2,h1"),
    ],
)
def test_what_has_no_effect(caplog: pytest.LogCaptureFixture, name: str, value: Any) -> None:
    """P10: a setting that does nothing here is told of, and is no reason not to start."""
    with caplog.at_level(logging.WARNING, "bridge.error"):
        converted(**{name: value})
    assert f"Gunicorn's {name} has no effect with this worker" in caplog.text


def test_nothing_is_told_of_defaults(caplog: pytest.LogCaptureFixture) -> None:
    """P10: Gunicorn as it is says nothing, and trusts loopback and Unix sockets."""
    config = converted()
    assert config.proxy_protocol_allow_ips == "127.0.0.1,::1,unix"
    assert (config.limit_connections, config.limit_header_field_size) == (0, 0)
    assert not caplog.records


def test_the_mount_point_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: SCRIPT_NAME is the root path, unless Gunicorn is given one."""
    monkeypatch.setenv("SCRIPT_NAME", "/shop")
    assert converted().root_path == "/shop"
    assert converted(root_path="/other").root_path == "/other"


def test_the_environment_of_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """P10, S64: BRIDGE_* counts, common names of platforms do not, and a wrong name is told of."""
    for name, value in {"BRIDGE_RUNNER": "inline", "BRIDGE_RUNER": "inline", "PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    config = converted()
    assert (config.runner, config.port) == ("inline", 8000)
    assert [record.message for record in caplog.records] == [
        "BRIDGE_RUNER is not a setting and is ignored; did you mean BRIDGE_RUNNER?"
    ]


def test_a_setting_that_is_newer_than_the_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """P10: one that no table knows is told to have no effect."""
    monkeypatch.delitem(UNUSED, "sendfile")
    converted(sendfile=False)
    assert "Gunicorn's sendfile has no effect with this worker: this version does not" in (
        caplog.text
    )


def test_tls_is_gunicorn_s() -> None:
    """P10, S31: certificates, authorities and ciphers are Gunicorn's, if it has any."""
    config = converted(
        certfile="cert.pem", keyfile="key.pem", ca_certs="ca.pem",
        cert_reqs=ssl.CERT_REQUIRED, ciphers="HIGH",
    )  # fmt: skip
    assert (config.ssl_certfile, config.ssl_keyfile) == ("cert.pem", "key.pem")
    assert (config.ssl_ca_certs, config.ssl_cert_reqs) == ("ca.pem", "required")
    assert config.ssl_ciphers == "HIGH"
    assert converted().ssl_certfile is None


def test_what_only_a_supervisor_of_ours_can_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """P10 O1: a port that all workers would share is not opened; health has a path instead."""
    monkeypatch.setenv("BRIDGE_METRICS_BIND", "127.0.0.1:9000")
    monkeypatch.setenv("BRIDGE_HEALTH_PATH", "/health")
    with caplog.at_level(logging.WARNING, "bridge.error"):
        assert converted().health_path == "/health"
    assert caplog.messages == [
        "BRIDGE_METRICS_BIND has no effect with this worker: Gunicorn is the supervisor"
    ]
