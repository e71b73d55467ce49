"""WSGI exchanges whose app runs in the loop's thread: what they write, waits, pauses and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import ClientDisconnected
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.server.apps.wsgi import responses
from tests.server.apps.wsgi.responses import LARGE, pieces
from tests.support.raw import Closed, request
from tests.support.serving import served
from tests.support.waiting import eventually

RUNNERS = ["greenlet", "inline"]


@pytest.fixture(params=RUNNERS)
def runner(request: pytest.FixtureRequest) -> Any:
    return request.param


async def for_ever(waiting: list[asyncio.Event]) -> None:
    """Wait for an event that is put into `waiting`."""
    event = asyncio.Event()
    waiting.append(event)
    await event.wait()


def test_whole_and_in_pieces(runner: Any) -> None:
    """W35, W39: a response leaves whole, or in pieces whose end is told by length or by chunks."""
    responses.come_whole_and_in_pieces(runner)


def test_a_slow_client(runner: Any) -> None:
    """W39: a greenlet waits for a slow client, an inline call pauses; each goes on after it."""
    responses.come_in_order_to_a_slow_client(runner)


def test_a_slow_client_of_a_whole_response(runner: Any) -> None:
    """W35: a response that is whole is written at once, and its call is over: nothing goes on."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [bytes(LARGE)]

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        assert client.get("/").body == bytes(LARGE)
        assert client.get("/").body == bytes(LARGE)


def test_the_client_of_a_slow_stream_leaves(runner: Any) -> None:
    """W40: what waits for a client that leaves is stopped, and closed."""
    closed: list[bool] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            yield from pieces(environ, start_response)
        finally:
            closed.append(True)

    with served(WsgiToAsgi(app, runner=runner)) as server:
        client = server.connect()
        client.send(request("/"))
        client.exactly(1000)
        assert closed == []
        client.reset()
        eventually(lambda: closed == [True])


def test_a_stop_cuts_what_waits_for_a_slow_client(runner: Any) -> None:
    """P2, W40: an app that a stop cuts in the middle of its response is closed."""
    closed: list[bool] = []

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        try:
            yield from pieces(environ, start_response)
        finally:
            closed.append(True)

    wrapped = WsgiToAsgi(app, runner=runner)
    with served(wrapped, timeout_graceful_shutdown=0.1) as server, server.connect() as client:
        client.send(request("/"))
        client.exactly(1000)
        server.stop()
        assert closed == [True]
        assert len(client.everything()) < LARGE


@pytest.mark.parametrize("answer", ["whole", "stream", "finish", "hints"])
def test_an_app_that_does_not_hear_that_its_client_left(answer: str) -> None:
    """G4, W40: a greenlet is told at the call that waits; what it sends after that is dropped."""
    heard: list[str] = []
    waiting: list[asyncio.Event] = []

    def wait() -> None:
        try:
            adapter.runner.wait(for_ever(waiting))
        except ClientDisconnected:
            heard.append("left")

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        if answer in ("whole", "hints"):
            wait()
        if answer == "hints":
            try:
                environ["wsgi.early_hints"]([("Link", "</a>")])
            except ClientDisconnected:
                heard.append("no hints")
        if answer == "whole":
            return iter([])
        return stream(environ)

    def stream(environ: Any) -> Iterator[bytes]:
        try:
            yield b"first"
            if answer in ("stream", "finish"):
                wait()
            if answer == "stream":
                yield b"second"
        finally:
            heard.append("closed")

    adapter = WsgiToAsgi(app, runner="greenlet")
    with served(adapter) as server:
        client = server.connect()
        client.send(request("/"))
        eventually(lambda: waiting)
        client.reset()
        last = "left" if answer == "whole" else "closed"
        eventually(lambda: heard and heard[-1] == last)
        eventually(lambda: adapter.stats().busy == 0)
    expected = {"whole": ["left"], "hints": ["left", "no hints", "closed"]}
    assert heard == expected.get(answer, ["left", "closed"])


def test_an_error_in_a_stream(runner: Any) -> None:
    """W38: a response that breaks off is cut, so that the client can tell."""

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise RuntimeError("the other half is missing")

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        client.send(request("/"))
        with pytest.raises((Closed, ConnectionResetError)):
            client.response()


def test_an_error_before_anything(runner: Any, caplog: pytest.LogCaptureFixture) -> None:
    """W38: it is a 500, and logged once."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        raise RuntimeError("nothing works")

    with served(WsgiToAsgi(app, runner=runner)) as server, server.connect() as client:
        assert client.get("/").status == 500
    assert sum("nothing works" in str(record.exc_info) for record in caplog.records) == 1


def test_too_many_greenlets() -> None:
    """W52: beyond `queue_limit` a request is refused, and a line that counts tells of it."""
    waiting: list[asyncio.Event] = []

    def app(environ: Any, start_response: Any) -> list[bytes]:
        adapter.runner.wait(for_ever(waiting))
        start_response("200 OK", [])
        return [b"ok"]

    adapter = WsgiToAsgi(app, runner="greenlet", queue_limit=1)
    with served(adapter) as server, server.connect() as client, server.connect() as late:
        client.send(request("/"))
        eventually(lambda: waiting)
        response = late.get("/")
        assert (response.status, response.value(b"retry-after")) == (503, b"1")
        server.call(lambda: waiting[0].set())
        assert client.response().body == b"ok"


def test_early_hints(runner: Any) -> None:
    """W42: hints leave at once, and not behind the head, nor behind the response."""
    responses.come_behind_their_hints(runner)


@pytest.mark.parametrize("first", [b"", b"before "])
@pytest.mark.parametrize("length", [True, False])
def test_files(runner: Any, first: bytes, length: bool, tmp_path: Path) -> None:
    """W41: a file goes from its position on, by the system or in chunks, behind what was sent."""
    responses.come_from_files(runner, tmp_path, first, length=length)


def test_a_file_that_is_closed_while_it_is_sent(tmp_path: Path) -> None:
    """W41: nothing but the app's file is sent, whatever is opened under its number meanwhile."""
    responses.come_from_a_file_that_is_closed("greenlet", tmp_path)
