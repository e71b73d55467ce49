"""What the log says at the start, before the address: the app, its kind, how it runs (S51)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bridge.adapters.runner_app import RunnerApp
from bridge.asgi.versions import Asgi2AsAsgi3
from bridge.dispatcher import Dispatcher, MountedApp
from bridge.errors import pluralize
from bridge.fallback import Fallback
from bridge.runners import Runner
from bridge.runners.inline import InlineRunner
from bridge.runners.patching.patch import is_patched
from bridge.runners.threads.runner import ThreadRunner
from bridge.server.apps.mounts import sides_of
from bridge.server.config.config import SETTINGS, Config
from bridge.types import ASGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi

#: The most mounts that are listed.
_MOST = 20


def announcement(config: Config, app: ASGIApp) -> Iterator[str]:
    """Yield the lines for `app`, which the server has made of what `config` names."""
    name = config.app if isinstance(config.app, str) else _name(app)
    name = getattr(app, "announced_as", "") or name
    if sides := sides_of(app):
        yield f"serving {config.cutover or name}:"
        for side in sides:
            yield f"  {side.name}: {side.target or _name(side.asgi)} ({_kind(side.asgi)})"
        yield f"  routes: {app.switches.summary()}"  # type: ignore[attr-defined]
        yield from _without_end(config, app)
    elif not isinstance(app, Dispatcher):
        inner = app.app if getattr(app, "announced_as", "") else app  # type: ignore[attr-defined]
        yield f"serving {name} ({_kind(inner)})"
    else:
        targets = dict(mount.partition("=")[::2] for mount in config.mount)
        rows = list(_rows(app, targets))
        yield f"serving {'mounts' if targets else name}:"
        width = max(len(place) for place, _ in rows[:_MOST])
        for place, about in rows[:_MOST]:
            yield f"  {place:{width}}  {about}"
        if len(rows) > _MOST:
            yield f"  and {len(rows) - _MOST} more"
    if sources := "; ".join(_sources(config)):
        yield f"settings {sources}"


def _without_end(config: Config, app: Any) -> Iterator[str]:
    """Say if users of a canary would wait for ever for a new app that hangs."""
    own = app.sides["new"].timeout_request
    is_judged = any(each.mode == "canary" or each.canary is not None for each in app.table.routes)
    if is_judged and not (config.timeout_request if own is None else own):
        yield (
            "  hint: no timeout_request is set, so users of a new app that hangs wait for ever; "
            "say --timeout-request 30, for a 504 after 30 s"
        )


def about_workers(config: Config, number: int) -> str:
    """Return the line of a supervisor, which has `number` workers."""
    ways = "each a process" if number > 1 else "a process of its own"
    orders = "" if config.control_socket == "off" else "; asgi-bridge ctl shows what they do"
    return f"{pluralize(number, 'worker')}, {ways}, watched by this one{orders}"


def _rows(
    app: Dispatcher, targets: dict[str, str], host: str = "", prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield each mount: its place, and what is there; of a dispatcher in it, its mounts."""
    for route in app.routes:
        place = (route.host or host) + (prefix + route.prefix or "/")
        if isinstance(route.asgi, Dispatcher):
            below = prefix if route.keep_prefix else prefix + route.prefix
            yield from _rows(route.asgi, {}, route.host or host, below)
        elif isinstance(route.asgi, Fallback):
            asked = ", then ".join(f"{_name(each)} ({_kind(each)})" for each in route.asgi.apps)
            yield place, asked
        else:
            name = targets.get(_key(route)) or _name(route.asgi)
            condition = ", if its when() says so" if route.when else ""
            yield place, f"{name} ({_kind(route.asgi)}){condition}"


def _key(route: MountedApp) -> str:
    """Return the place as the command line writes it."""
    return route.host + (route.prefix or "/")


def _kind(app: object) -> str:
    if isinstance(app, WsgiToAsgi):
        sockets = ", WebSockets" if app.websocket else ""
        return f"{app.interface}, {_runner(app.runner)}{sockets}"
    if isinstance(app, RunnerApp):
        return f"ASGI 1, {_runner(app.runner)}"
    if isinstance(app, Dispatcher):
        return "mounts"
    return "ASGI 2" if isinstance(app, Asgi2AsAsgi3) else "ASGI"


def _runner(runner: Runner) -> str:
    if isinstance(runner, ThreadRunner):
        return f"{runner.threads} thread{'s' if runner.threads > 1 else ''}"
    if isinstance(runner, InlineRunner):
        return "inline"
    # The greenlet runner is loaded only if it is used.
    if type(runner).__name__ == "GreenletRunner":
        return "greenlets, patched" if is_patched() else "greenlets"
    return type(runner).__name__


def _name(app: Any) -> str:
    """Name an app that has no target: by its function, or its class."""
    if isinstance(app, WsgiToAsgi) and app.shown_name is not None:
        return app.shown_name
    while isinstance(app, RunnerApp | Asgi2AsAsgi3):
        app = app.app
    named = app if hasattr(app, "__qualname__") else type(app)
    return f"{named.__module__}.{named.__qualname__}"


def _sources(config: Config) -> Iterator[str]:
    """Say which settings came from variables and files: the command does not show them."""
    variables = {variable for setting in SETTINGS for variable in setting.variables}
    given = [label for label in config.sources.values() if label in variables]
    if given:
        yield f"from the environment: {', '.join(given)}"
    files: dict[str, list[str]] = {}
    for label in config.sources.values():
        key, found, file = label.partition(" in ")
        if found:
            files.setdefault(file, []).append(key)
    for file, keys in files.items():
        yield f"from {file}: {', '.join(keys)}"
