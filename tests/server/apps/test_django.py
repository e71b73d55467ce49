"""The handler of a Django project: which of Django's handlers a request goes to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import httpx
import pytest
from django.http import HttpResponse
from django.urls import path

from bridge.dispatcher import Dispatcher
from bridge.django.app import application
from bridge.server.apps.django import DjangoHandler
from bridge.server.apps.handlers import make_handler, runners_of
from tests.server.apps.connections import connection
from tests.server.apps.connections import request as read_request
from tests.support.django_here import closes_what_is_cancelled, project, set_up
from tests.support.serving import served

set_up()


def sync(request: Any) -> HttpResponse:
    return HttpResponse(f"{type(request).__name__} {request.META['SCRIPT_NAME']}")


async def loop(request: Any) -> HttpResponse:
    return HttpResponse(f"{type(request).__name__} {request.META['SCRIPT_NAME']}")


ROUTES = (path("sync", sync), path("loop", loop))


def bodies(app: Any, *targets: str, **settings: Any) -> list[str]:
    """What is answered to each."""
    with served(app, **settings) as server, httpx.Client() as client:
        return [client.get(f"http://127.0.0.1:{server.port}{each}").text for each in targets]


@pytest.mark.parametrize("runner", ["thread", "greenlet", "inline"])
def test_each_view_by_its_handler(runner: str) -> None:
    """M30: a synchronous view is called straight from the parsed request, on each runner."""
    with project(*ROUTES):
        app = application(runner=runner)
        expected = ["WSGIRequest ", "ASGIRequest ", "WSGIRequest ", "ASGIRequest "]
        assert bodies(app, "/sync", "/loop", "/sync?a=b", "/%6Coop") == expected


def test_places() -> None:
    """M30: what tells views apart is the path below the root path and the mount."""
    with project(*ROUTES):
        app = application(runner="inline")
        assert bodies(app, "/root/loop", "/sync", root_path="/root") == [
            *("ASGIRequest /root", "WSGIRequest /root")
        ]
        mounted = Dispatcher({"/in": app})
        assert bodies(mounted, "/in/loop", "/in/sync") == ["ASGIRequest /in", "WSGIRequest /in"]
    for view, kind in ((sync, "WSGIRequest"), (loop, "ASGIRequest")):
        with project(path("", view)):
            mounted = Dispatcher({"/in": application(runner="inline")})
            assert bodies(mounted, "/in", "/in/") == [f"{kind} /in"] * 2


def test_limits_and_meters() -> None:
    """M30: limits hold for both kinds of views, and both are counted."""
    with project(*ROUTES):
        app = application(max_body_size=7, timeout_request=5)
        handler = make_handler(app, {}, "/below", timeout_request=9)
        assert isinstance(handler, DjangoHandler)
        opened = [
            handler.open(connection(), read_request(f"GET /below/{name} HTTP/1.1")).handler  # type: ignore[attr-defined]
            for name in ("sync", "loop")
        ]
        assert opened == [handler.wsgi, handler.asgi]
        assert [each.max_body_size for each in opened] == [7, 7]
        assert [runner for _, runner in runners_of(app)] == [app.runner]
        handler.use_meters(lambda mount: mount, "/")  # type: ignore[arg-type, return-value]
        assert handler.wsgi.meter == handler.asgi.meter == "/"


@closes_what_is_cancelled
def test_time_limits() -> None:
    """M30, R2: an async view has the time that the app says, or else the server."""

    async def slow(request: Any) -> HttpResponse:
        await asyncio.sleep(60)
        return HttpResponse()

    with project(path("slow", slow)):
        for app, seconds in ((application(), 0.2), (application(timeout_request=0.2), 50)):
            with served(app, timeout_request=seconds) as server:
                answer = httpx.get(f"http://127.0.0.1:{server.port}/slow", timeout=30)
                assert answer.status_code == 504


def test_it_is_not_loaded_for_others() -> None:
    """M30: a server of other apps loads neither Django nor this handler."""
    code = (
        "import sys, bridge.server.cli, bridge.server.apps.handlers as handlers\n"
        "from bridge.wsgi_to_asgi import WsgiToAsgi\n"
        "handlers.make_handler(WsgiToAsgi(lambda environ, start_response: []), {})\n"
        "print([name for name in sys.modules if 'django' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
