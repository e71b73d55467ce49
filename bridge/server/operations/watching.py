"""The watchdog of a server's event loop: what it is told of, and who is told (G9, R3)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bridge.loops.watchdog.block import Block
from bridge.loops.watchdog.log import BlockLog
from bridge.loops.watchdog.watchdog import Watchdog
from bridge.runners.patching.patch import is_patched
from bridge.server.apps.handlers import runners_of
from bridge.server.config.config import Config
from bridge.server.metrics.figures import Figures
from bridge.types import ASGIApp


def watch_loop(
    config: Config, app: ASGIApp, served: Callable[[], int], figures: Figures | None = None
) -> Watchdog | None:
    """Watch the running loop, on which `app` is served; None if the settings do not want it.

    `served` returns the number of requests taken so far. Blocks are counted in `figures`.
    """
    if not config.max_blocking_time:
        return None
    # Threads that end a request do not show that the loop goes on.
    runners = [each for _, each in runners_of(app) if not each.threaded]

    def progress() -> object:
        return served(), [each.stats().served for each in runners]

    log = BlockLog(is_patched)
    watchdog = Watchdog(config.max_blocking_time, progress=progress, on_look=log.look)
    watchdog.observers.append(log)
    if figures is not None:
        watchdog.observers.append(partial(_count, figures))
    watchdog.start()
    return watchdog


def _count(figures: Figures, block: Block) -> None:
    if block.ended:
        figures.blocked.add(block.seconds)
