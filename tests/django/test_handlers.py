"""Django's handlers, as the bridge runs them."""

from __future__ import annotations

import asyncio
import threading
from io import BytesIO
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.http import HttpResponse
from django.urls import path

from bridge.django.handlers import AsyncHandler, path_info, sync_handler
from tests.support.django_here import closes_what_is_cancelled, project, set_up
from tests.support.in_process import http, http_scope
from tests.support.waiting import eventually

set_up()


def sync_middleware(get_response: Any) -> Any:
    """A middleware as they were before Django 3.1."""

    def middleware(request: Any) -> Any:
        if "other" in request.path:
            request.urlconf = OTHER
        return get_response(request)

    return middleware


async def show(request: Any, **more: Any) -> HttpResponse:
    names = {await sync_to_async(lambda: threading.current_thread().name)() for _ in range(2)}
    shown = (request.path, request.path_info, request.META["SCRIPT_NAME"], *names)
    return HttpResponse(repr(shown))


OTHER = type("Urlconf", (), {"urlpatterns": [path("other", show)]})
SYNC = f"{__name__}.sync_middleware"
OURS = "bridge-django"


def call(handler: Any, path_info: str) -> int:
    """The status that the WSGI handler gives."""
    statuses: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path_info,
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "wsgi.input": BytesIO(),
        "wsgi.url_scheme": "http",
    }
    handler(environ, lambda status, headers: statuses.append(status)).close()
    return int(statuses[0][:3])


def test_async_views_that_are_met_as_synchronous_ones() -> None:
    """M30: they answer, and are told of, with the URLconf that the request had."""
    met: list[Any] = []
    routes = (path("loop", show), path("plain", lambda request: HttpResponse()))
    with project(*routes, MIDDLEWARE=[SYNC]):
        handler = sync_handler(met.append)
        assert [call(handler, each) for each in ("/plain", "/nowhere")] == [200, 404]
        assert not met
        assert [call(handler, each) for each in ("/loop", "/other")] == [200, 200]
        assert [getattr(each, "urlconf", None) for each in met] == [None, OTHER]
        assert [each.resolver_match.func for each in met] == [show, show]


def test_synchronous_parts_run_in_one_thread() -> None:
    """M30: what async views have done synchronously runs in a thread that stays."""
    with project(path("loop", show)):
        handler = AsyncHandler()
        assert handler.sync_middleware == []
        first, second = (http(handler, "/loop").body for _ in range(2))
        assert first == second
        assert first.count(OURS.encode()) == 1
        handler.lanes.close()


def test_synchronous_middleware_is_named() -> None:
    """M30: it is known which middleware costs async views a thread each."""
    both = "django.middleware.common.CommonMiddleware"
    with project(path("loop", show), MIDDLEWARE=[both, SYNC]):
        handler = AsyncHandler()
        assert handler.sync_middleware == [SYNC]
        assert http(handler, "/loop").status == 200
        handler.lanes.close()


def test_forced_script_name() -> None:
    """M30: `FORCE_SCRIPT_NAME` means the same for both kinds of views."""
    for forced, expected in (
        ("/app", ("/app/loop", "/loop", "/app")),
        (None, ("/root/loop", "/loop", "/root")),
    ):
        with project(path("loop", show), FORCE_SCRIPT_NAME=forced):
            handler = AsyncHandler()
            body = http(handler, "/root/loop", root_path="/root").body.decode()
            assert body.startswith(repr(expected)[:-1]), body
            handler.lanes.close()


def test_mount_point_without_its_slash() -> None:
    """M30: it is the page at the mount point's root, for both kinds of views."""
    with project(path("", show)):
        handler = AsyncHandler()
        for root_path in ("/in", "/in/"):
            body = http(handler, "/in", root_path=root_path).body.decode()
            assert body.startswith("('/in/', '/', '/in"), body
        handler.lanes.close()


def test_signals() -> None:
    """M30: their sender is Django's own class; other receivers run in the request's thread."""
    senders: list[Any] = []
    threads: list[str] = []

    def started(sender: Any, **more: Any) -> None:
        senders.append(sender)
        threads.append(threading.current_thread().name)

    with project(path("loop", show), path("plain", lambda request: HttpResponse())):
        handler, synchronous = AsyncHandler(), sync_handler(lambda request: None)
        for signal in (request_started, request_finished):
            signal.connect(started, sender=ASGIHandler)
            signal.connect(started, sender=WSGIHandler)
        try:
            body = http(handler, "/loop").body.decode()
            assert senders == [ASGIHandler] * 2
            assert [name in body for name in threads] == [True, True]
            call(synchronous, "/plain")
            assert senders[2:] == [WSGIHandler] * 2
        finally:
            for signal in (request_started, request_finished):
                signal.disconnect(started, sender=ASGIHandler)
                signal.disconnect(started, sender=WSGIHandler)
        handler.lanes.close()


def test_waiting_needs_no_thread() -> None:
    """M30: an async view that has called nothing synchronous has no thread, before it or within."""
    used: list[int] = []

    async def wait(request: Any) -> HttpResponse:
        used.append(handler.lanes.used)
        return HttpResponse()

    with project(path("wait", wait)):
        handler = AsyncHandler()
        assert http(handler, "/wait").status == 200
        assert used == [0]
        handler.lanes.close()


def test_path_below_the_place() -> None:
    """M30: what is told apart is the path below the root path."""
    assert path_info(http_scope("/root/a", root_path="/root")) == "/a"
    assert path_info(http_scope("/root", root_path="/root/")) == "/"
    assert path_info(http_scope("/rooted", root_path="/root")) == "/rooted"


@closes_what_is_cancelled
def test_a_lane_is_given_back_if_a_request_is_cancelled() -> None:
    """M30: a client that leaves keeps no thread."""

    async def wait(request: Any) -> HttpResponse:
        await sync_to_async(int)()
        await asyncio.sleep(60)
        return HttpResponse()

    async def leave(handler: AsyncHandler) -> None:
        task = asyncio.create_task(handler(http_scope("/wait"), receive, send))
        while not handler.lanes.used:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])

    messages = [{"type": "http.request"}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.Event().wait()

    async def send(message: Any) -> None: ...

    with project(path("wait", wait)):
        handler = AsyncHandler()
        asyncio.run(leave(handler))
        eventually(lambda: not handler.lanes.used)
        handler.lanes.close()
