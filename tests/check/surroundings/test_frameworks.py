"""What Flask and Starlette show of an app (M51)."""

from __future__ import annotations

from typing import Any

import fastapi
import flask
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware

from bridge.check.findings import Findings
from bridge.check.surroundings.frameworks import look_at_frameworks


def found(app: Any) -> list[tuple[str, str]]:
    """Texts, and the function of the first place."""
    findings = Findings()
    look_at_frameworks(app, findings)
    return [(each.text, each.places[0].function) for each in findings]


class Timing(BaseHTTPMiddleware): ...


class Around:
    def __init__(self, app: Any) -> None:
        self.app = app


def test_async_views_of_flask() -> None:
    """M51: also behind middleware; synchronous ones are not told."""
    app = flask.Flask("shop")
    app.add_url_rule("/", "home", lambda: "home")
    assert found(app) == []

    async def view() -> str:
        return "x"

    for number in range(5):
        app.add_url_rule(f"/{number}", f"view{number}", view)
    expected = "Flask has async views: view0, view1, view2 and 2 more"
    assert [text for text, _ in found(app)] == [expected]
    assert [text for text, _ in found(Around(app))] == [expected]


def test_middleware_of_starlette() -> None:
    """M51: by its class; of FastAPI's decorator by its function. Others are not told."""
    app = Starlette(middleware=[Middleware(GZipMiddleware), Middleware(Timing)])
    assert found(app) == [("middleware Timing is a BaseHTTPMiddleware of Starlette", "")]
    api = fastapi.FastAPI()

    @api.middleware("http")
    async def timing(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    ((text, function),) = found(api)
    assert text.startswith("middleware test_middleware_of_starlette.<locals>.timing is")
    assert function.endswith("timing")
