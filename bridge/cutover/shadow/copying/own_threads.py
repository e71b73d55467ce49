"""Apps as copies call them: with threads of their own, so that they take none from clients (M10).

A WSGI app gets a pool here, as large as there may be copies at once, also if it runs on the loop
for clients: an app that hangs holds these threads for ever, and nobody waits for them.
"""

from __future__ import annotations

import copy

from bridge.dispatcher import Dispatcher
from bridge.fallback import Fallback
from bridge.runners import Runner
from bridge.types import ASGIApp
from bridge.wsgi_to_asgi import WsgiToAsgi


def with_own_threads(app: ASGIApp, threads: int) -> tuple[ASGIApp, list[Runner]]:
    """Return `app` with other pools, and these: those of WSGI apps that can be seen in it."""
    runners: list[Runner] = []
    return _other(app, threads, runners), runners


def _other(app: ASGIApp, threads: int, runners: list[Runner]) -> ASGIApp:
    if isinstance(app, WsgiToAsgi):
        other = app.with_own_threads(threads)
        runners.append(other.runner)
        return other
    if isinstance(app, Dispatcher):
        return app.with_apps(lambda each: _other(each, threads, runners))
    if isinstance(app, Fallback):
        chain = copy.copy(app)
        chain.apps = [_other(each, threads, runners) for each in app.apps]
        return chain
    return app


def held_threads(runners: list[Runner]) -> int:
    """Return how many threads of the fullest of these pools are held."""
    return max(map(_running, runners), default=0)


def _running(runner: Runner) -> int:
    stats = runner.stats()
    return stats.busy + stats.streams + stats.written_off
