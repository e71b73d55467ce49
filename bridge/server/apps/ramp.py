"""Load the two apps of a cutover that a file describes (M1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.arguments.kinds import KINDS
from bridge.cutover.app import Cutover
from bridge.cutover.route import NEW, OLD
from bridge.cutover.settings_file import read_plan
from bridge.dispatcher import Mount
from bridge.errors import AppLoadError, ConfigError
from bridge.types import Receive, Scope, Send


def load_cutover(file: str, load_app: Callable[[str], Any]) -> Cutover:
    """Return the cutover of `file`; `load_app` loads an app by its name.

    A new app that cannot be loaded is as one that fails to start: see `Cutover`.
    Raises `ConfigError` and `AppLoadError`.
    """
    plan = read_plan(file)
    for side in (OLD, NEW):
        if side not in plan.apps:
            raise ConfigError(f'{file} names no {side} app; say {side} = "module:attr"')
    options = dict(plan.options)
    old = _load(plan.apps[OLD], load_app)
    failure: AppLoadError | None = None
    try:
        new = _load(plan.apps[NEW], load_app)
    except AppLoadError as error:
        if options.get("require_new"):
            raise
        failure, new = error, Mount(_failing(error), "asgi3")
    try:
        cutover = Cutover(old, new, file, **options)
    except ConfigError as error:
        text = str(error).replace("on the command line, say --factory, or", "in this file, say")
        raise ConfigError(f"{file}: {text}".replace(f"{file}: {file}", file)) from None
    for side, target in plan.apps.items():
        cutover.sides[side].target = target
    if failure is not None:
        cutover.new_not_loaded(failure)
    return cutover


def _load(target: str, load_app: Callable[[str], Any]) -> Mount:
    """Load an app; its name may begin with its kind, as with ``--mount``."""
    kind, colon, name = target.partition(":")
    if colon and kind in KINDS and ":" in name.partition("(")[0]:
        return Mount(load_app(name), kind)
    return Mount(load_app(target))


def _failing(error: AppLoadError) -> Any:
    """Make an app that stands for one that could not be loaded; it gets no requests."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    return app
