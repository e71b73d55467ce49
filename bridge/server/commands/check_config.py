"""`asgi-bridge serve --check-config`: load what a start would load, and stop (O6).

It opens no socket, starts no thread and no lifespan, and writes no log file. What is wrong is told
as at a start, with the same exit code.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from bridge.server.apps.hooks import load_hook
from bridge.server.apps.mounts import cutovers_of
from bridge.server.config.config import Config
from bridge.server.config.process_settings import HOOKS
from bridge.server.lifecycle.announcement import announcement
from bridge.server.logs.access_log import make_access_logger
from bridge.server.logs.loggers import configure_logging, read_log_config
from bridge.server.network.listeners import descriptor_of, resolve
from bridge.server.network.tls import make_context
from bridge.server.proxy.trust import TrustedProxies
from bridge.server.server import Server

#: Settings that would open files.
_NO_FILES: Any = {"log_config": None, "log_file": None, "access_log_file": None}


def check(config: Config) -> list[str]:
    """Load the app and whatever else the settings name, and return lines about it.

    Raises `ConfigError` and `AppLoadError`, as a start does.
    """
    if isinstance(config.log_config, str):
        read_log_config(config.log_config)
    configure_logging(replace(config, **_NO_FILES))
    make_access_logger(config)
    TrustedProxies(
        config.forwarded_allow_ips, config.forwarded_headers, config.proxy_protocol_allow_ips
    )
    make_context(config)
    for spec in config.bind:
        if spec.startswith("fd://"):
            descriptor_of(spec)
        elif not spec.startswith("unix:"):
            resolve(spec)
    server = Server(config)
    server.load()
    for name in HOOKS:
        load_hook(name, getattr(config, name), config)
    conflicts = [
        f"{'hint' if level == logging.INFO else 'warning'}: {text}"
        for cutover in cutovers_of(server.app)
        for level, text in cutover.conflicts.lines()
    ]
    return [*announcement(config, server.app), *conflicts, "the settings and the app are in order"]
