"""Health on the main port: before every app, red before anything is refused (O1)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bridge import Dispatcher, WsgiToAsgi
from bridge.server import Config, Server
from bridge.server.operations.health import Health, drain
from tests.support.raw import Response, parse_responses, request


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": scope["path"].encode()})


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [environ["SCRIPT_NAME"].encode() + environ["PATH_INFO"].encode()]


async def ask(server: Server, path: str, method: str = "GET") -> Response:
    """One request on a connection of its own."""
    address = server.addresses[0]
    assert not isinstance(address, str)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request(path, "Connection: close", method=method))
    data = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    (response,) = parse_responses(data, [method])
    return response


def with_server(
    test: Callable[[Server], Coroutine[Any, Any, None]], app: Any, **settings: Any
) -> None:
    async def main() -> None:
        server = Server(Config(app=app, port=0, **settings))
        await server.start()
        try:
            await test(server)
        finally:
            await server.stop(1)

    asyncio.run(main())


APPS = {
    "asgi": asgi,
    "mounts": Dispatcher({"/old": wsgi, "/": asgi}),
    "thread": WsgiToAsgi(wsgi, runner="thread"),
    "greenlet": WsgiToAsgi(wsgi, runner="greenlet"),
    "inline": WsgiToAsgi(wsgi, runner="inline"),
}


@pytest.mark.parametrize("root_path", ["", "/root"])
@pytest.mark.parametrize("app", APPS)
def test_two_paths(app: str, root_path: str, caplog: pytest.LogCaptureFixture) -> None:
    """O1: apps of every kind, mounted or not; a proxy may leave the root path in or not."""
    caplog.set_level(logging.INFO, "bridge.access")

    async def test(server: Server) -> None:
        caplog.clear()
        for start in ["", root_path]:
            for path, body in [("/health", b"OK: ready\n"), ("/health/live", b"OK: live\n")]:
                response = await ask(server, start + path)
                assert (response.status, response.body) == (200, body)
                assert (await ask(server, start + path, "HEAD")).status == 200
            assert (await ask(server, f"{start}/health", "POST")).status == 405
        assert caplog.messages == []
        for path in ["/healthy", "/health/", "/health/ready", "/old/health"]:
            response = await ask(server, path)
            assert (response.status, response.body) == (200, (root_path + path).encode())

    with_server(test, APPS[app], root_path=root_path, health_path="health/")


def test_off_by_default() -> None:
    """O1: the paths are the app's."""

    async def test(server: Server) -> None:
        assert (await ask(server, "/health")).body == b"/health"

    with_server(test, asgi)


def test_while_all_threads_are_busy() -> None:
    """O1: neither an app that takes all threads nor a limit of requests keeps it from answering."""
    entered, may_end = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        entered.set()
        may_end.wait(20)
        start_response("200 OK", [])
        return [b"slow"]

    async def test(server: Server) -> None:
        asked = asyncio.ensure_future(ask(server, "/"))
        await asyncio.to_thread(entered.wait, 20)
        assert (await ask(server, "/health")).status == 200
        assert (await ask(server, "/health/live")).status == 200
        assert (await ask(server, "/")).status == 503
        may_end.set()
        assert (await asked).body == b"slow"

    with_server(test, slow, threads=1, limit_requests=1, health_path="/health")


def test_red_before_anything_is_refused() -> None:
    """O1 P2: from SIGTERM on, also a second one, it is not ready and serves; SIGINT ends that."""

    async def main() -> None:
        server = Server(Config(app=asgi, port=0, health_path="/health", drain_delay=60))
        serving = asyncio.ensure_future(server.serve())
        while not server.orders.serving:
            await asyncio.sleep(0.001)
        assert (await ask(server, "/health")).status == 200
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
            while server.health.is_ready:
                await asyncio.sleep(0.001)
            response = await ask(server, "/health")
            assert (response.status, response.body) == (503, b"Service Unavailable: stopping\n")
            assert (await ask(server, "/health/live")).status == 200
            assert (await ask(server, "/x")).body == b"/x"
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(serving, 20)
        assert server.addresses == []

    asyncio.run(main())


def test_health() -> None:
    """O1: ready means started, and not about to stop; live is whatever answers."""
    started: list[bool] = []
    health = Health(lambda: bool(started))
    assert not health.is_ready
    assert health.ready().head.status_code == 503
    assert b"starting" in health.ready().body
    assert health.live().head.status_code == 200
    started.append(True)
    assert health.ready().head.status_code == 200
    health.drain()
    assert b"stopping" in health.ready().body


def test_no_delay(caplog: pytest.LogCaptureFixture) -> None:
    """O1: without one, nothing is waited for, and nothing said; a short one is over by itself."""
    caplog.set_level(logging.INFO, "bridge")

    async def main() -> None:
        health = Health(lambda: True)
        await drain(health, 0, asyncio.Event())
        assert not health.is_ready
        assert caplog.messages == []
        await drain(health, 0.01, asyncio.Event())
        assert caplog.messages == ["not ready any more; it stops in 0.01 s"]

    asyncio.run(main())
