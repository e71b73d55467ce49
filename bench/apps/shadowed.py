"""An old app behind two `Cutover`s: ``asgi_kept``, ``flask_hangs`` and so on, of a kind and a mode.

Below ``/alone`` nothing is copied, below ``/copied`` what the mode says. The new app answers as the
old one does; but in ``hangs`` it never answers.
"""

from __future__ import annotations

import asyncio
import importlib

#: Kind -> the old app.
KINDS = {
    "asgi": "bench.apps.plain:asgi",
    "wsgi": "bench.apps.plain:wsgi",
    "flask": "bench.apps.flask_app:wsgi",
}
#: Mode -> the settings of the copies; None: there are none, as below ``/alone``.
MODES = {
    "old": None,
    "none": {"sample": 0},
    "kept": {"max_response_body": 1},
    "tenth": {"sample": 10},
    "all": {},
    "hangs": {"timeout": 1},
}


async def _hangs(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await asyncio.get_running_loop().create_future()


async def _answers(scope, receive, send):
    from bench.apps import plain

    await plain.asgi(scope, receive, send)


def _cutover(kind, mode):
    from bridge import Cutover, Route

    shadow = MODES[mode]
    route = Route("all", "/{rest:path}", mode="old" if shadow is None else "shadow")
    new = _hangs if mode == "hangs" else _answers
    module, _, attribute = KINDS[kind].partition(":")
    old = getattr(importlib.import_module(module), attribute)
    return Cutover(old, new, [route], shadow=shadow)


def __getattr__(name):
    from bridge import Dispatcher

    kind, _, mode = name.partition("_")
    if kind not in KINDS or mode not in MODES:
        raise AttributeError(name)
    app = Dispatcher({"/alone": _cutover(kind, "old"), "/copied": _cutover(kind, mode)})
    globals()[name] = app
    return app
