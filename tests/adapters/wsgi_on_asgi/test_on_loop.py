"""Exchanges whose app runs on the loop's own thread: pauses, turns, and clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge.errors import ClientDisconnected, RequestError
from bridge.types import Environ, Message, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import POST, Client, ask, begun, hello, serve
from tests.runners.jobs import until

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


def test_a_host_whose_receive_fails() -> None:
    """W10: what it raises of ours is the end of the connection for the app."""
    asked: list[bool] = []

    class Failing(Client):
        async def receive(self) -> Message:
            raise RequestError("too much", 413)

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        asked.append(environ["bridge.disconnected"]())
        with pytest.raises(ClientDisconnected):
            bridge.await_(asyncio.Event().wait())
        asked.append(environ["bridge.disconnected"]())
        yield b"late"

    async def use(adapter: WsgiToAsgi) -> None:
        client = Failing()
        await client.ask(adapter)
        assert client.body == b""

    serve(app, use, runner="greenlet")
    assert asked == [False, True]


def test_greenlets_without_end() -> None:
    """W52: beyond the limit a request gets a 503, as it does when the runner stops."""

    async def use(adapter: WsgiToAsgi) -> None:
        gate = asyncio.Event()

        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            bridge.await_(gate.wait())
            return hello(environ, start_response)

        limited = WsgiToAsgi(app, runner="greenlet", queue_limit=1)
        first, second, third = Client(), Client(), Client()
        task = first.ask(limited)
        await until(lambda: limited.stats().busy == 1)
        await second.ask(limited)
        gate.set()
        await task
        await limited.runner.stop(10)
        await third.ask(limited)
        assert [client.status for client in (first, second, third)] == [200, 503, 503]
        assert second.headers[b"retry-after"] == third.headers[b"retry-after"] == b"1"

    serve(hello, use)


@RUNNERS
def test_hints_and_a_file(runner: str, tmp_path: Path) -> None:
    """W41, W42: a greenlet waits until the host has sent them; inline there is no waiting."""
    (tmp_path / "file").write_bytes(b"content")
    offered = ("http.response.early_hint", "http.response.pathsend")

    def app(environ: Environ, start_response: StartResponse) -> Any:
        environ["wsgi.early_hints"]([("Link", "</a.css>")])
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"]((tmp_path / "file").open("rb"))

    extensions: dict[str, Any] = {name: {} for name in offered}
    client = ask(app, runner=runner, extensions=extensions, pathsend=True)
    last = "http.response.pathsend" if runner == "greenlet" else "http.response.body"
    kinds = dict.fromkeys(message["type"] for message in client.sent)
    assert list(kinds) == ["http.response.early_hint", "http.response.start", last]


def test_news_of_an_app_on_the_loop_comes_at_once() -> None:
    """W30: also of one that pauses: then the rest is for `finish`."""

    def large(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(5):
            yield b"x" * 70000

    for app, size in ((hello, 5), (large, 350_000)):
        assert len(begun(app, client := Client(), runner="inline")) == 1
        assert len(client.body) == size
