"""Exchanges whose app runs on the loop's own thread: pauses, turns, and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bridge.errors import ClientDisconnected
from bridge.types import Environ, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import POST, Client, ask, hello, serve

RUNNERS = pytest.mark.parametrize("runner", ["inline", "greenlet"])


@RUNNERS
def test_the_loop_has_its_turns(runner: str) -> None:
    """W39 G1: also with a host whose `send` never waits."""
    turns: list[int] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(5):
            turns.append(number)
            yield b"x" * 70000

    async def use(adapter: WsgiToAsgi) -> None:
        client, seen = Client(), []
        task = client.ask(adapter)
        while not task.done():
            seen.append(len(turns))
            await asyncio.sleep(0)
        await task
        assert client.body == b"x" * 350_000
        assert len(set(seen)) >= 5

    serve(app, use, runner=runner)


@RUNNERS
@pytest.mark.parametrize("error", [OSError("gone"), ClientDisconnected("gone")])
def test_a_host_that_says_so_when_its_client_is_gone(runner: str, error: OSError) -> None:
    """W40: the request ends without an error, and what the app returned is closed."""
    closed: list[str] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        try:
            while True:
                yield b"x" * 70000
        finally:
            closed.append(runner)

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.fails = error
        await client.ask(adapter)

    serve(app, use, runner=runner)
    assert closed == [runner]
    serve(hello, use, runner=runner)


def test_an_app_that_asks_for_its_client() -> None:
    """W10: a client that has left is seen when the loop has had its turn; not before a body."""
    asked: list[bool] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        asked.append(environ["bridge.disconnected"]())
        environ["wsgi.input"].read()
        yield b"x"
        yield b"y"
        asked.append(environ["bridge.disconnected"]())
        yield b"z"

    assert ask(app, [b"body"], runner="greenlet", **POST).body == b"xyz"
    assert asked == [False, False]
    left = ask(app, [b"body"], runner="greenlet", leaves=True, **POST)
    assert not left.body.endswith(b"z")
    assert asked[2] is False, "nothing is received before the app has read its body"
