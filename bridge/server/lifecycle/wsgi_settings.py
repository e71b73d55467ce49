"""The settings of how WSGI apps and ASGI 1 consumers run, handed to the apps (S60).

They hold for every such app that the server finds (the app itself, in a `WsgiToAsgi`, mounted,
nested or a fallback) and that says nothing itself. What an app says itself stays, and one inside a
middleware that is not ours is out of reach: the log says both at the start, in a line each.

`patch` is of the process, and was obeyed before the app was imported (`load`, G6).
"""

from __future__ import annotations

import sys
from typing import Any

from bridge.log import logger
from bridge.runners import Runner
from bridge.runners.patching.patch import check_patchers, is_patched
from bridge.server.apps.handlers import runner_apps
from bridge.server.apps.mounts import cutovers_of
from bridge.server.config.config import Config
from bridge.types import ASGIApp


def apply_wsgi_settings(config: Config, app: ASGIApp) -> None:
    """Run all these apps in `app` as `config` says, and log what cannot be.

    A `Cutover` is told how long its lifespan may take, of which the new app gets a part.
    Raises `ConfigError` if `app` has patched the standard library in another way.
    """
    for cutover in cutovers_of(app):
        cutover.timeouts = config.timeout_startup, config.timeout_shutdown
    values = _values(config)
    given = {name: source for name in values if (source := config.source(name))}
    found = False
    keeping: dict[tuple[str, ...], list[str]] = {}
    for name, each in runner_apps(app):
        found = True
        own = each.adopt(values)
        each.name_limit(name)
        if kept := [name for name in given if name in own]:
            said = " and ".join(f"{name}={_shown(own[name])}" for name in kept)
            keeping.setdefault((said, *kept), []).append(name)
    for (said, *kept), apps in keeping.items():
        logger.warning(
            "%s: %s was said in Python, and is not changed by %s",
            ", ".join(dict.fromkeys(apps)),
            said,
            " and ".join(f"{given[name]} ({_shown(values[name])})" for name in kept),
        )
    given.pop("timeout_request", None)  # it holds for ASGI apps, too
    if given and not found:
        logger.warning(
            "%s changes nothing: no WSGI app here is run by the server itself; one inside a "
            "middleware or a framework is told in Python: WsgiToAsgi(app, %s)",
            " and ".join(given.values()),
            ", ".join(f"{name}={values[name]!r}" for name in given),
        )
    if config.patch or is_patched():
        check_patchers()
    if config.patch:
        _check_patch(config)


def _values(config: Config) -> dict[str, Any]:
    """Return each of `checks.WSGI_SETTINGS`."""
    return {
        "runner": config.runner,
        "threads": config.threads,
        "queue_limit": config.queue_limit,
        "queue_timeout": config.queue_timeout,
        "stream_after": config.stream_after,
        "stream_limit": config.stream_limit,
        "timeout_request": config.timeout_request,
        "websocket": config.websocket,
        "strict": config.strict,
    }


def _check_patch(config: Config) -> None:
    """Warn if nothing uses the patch."""
    # Loaded with the first runner, wherever that was made.
    if "bridge.runners.greenlets.runner" not in sys.modules:
        source = config.source("patch") or "patch"
        logger.warning(
            "%s changes nothing: it is for greenlets, and no app here runs in them; say %s, too, "
            "or leave it out",
            source,
            "BRIDGE_RUNNER=greenlet" if source.startswith("BRIDGE_") else "--runner greenlet",
        )


def _shown(value: Any) -> str:
    return type(value).__name__ if isinstance(value, Runner) else repr(value)
