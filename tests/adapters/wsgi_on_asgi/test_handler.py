"""The way of a request: its environ, its body, its context, and how it ends."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

import bridge
from bridge.adapters.wsgi_on_asgi.exchange import whole_response
from bridge.runners.base import occupied_runners
from bridge.types import Environ, StartResponse
from bridge.wsgi_to_asgi import WsgiToAsgi
from tests.adapters.wsgi_on_asgi.asking import (
    POST,
    Client,
    ask,
    begun,
    hello,
    serve,
    variable,
)
from tests.runners.jobs import until


@pytest.mark.parametrize("length", [b"x", b"5, 6", b"-1", b""])
def test_wrong_content_length(runner: str, length: bytes) -> None:
    """W8: a malformed Content-Length that a host lets through is a 400."""
    client = ask(hello, runner=runner, headers=[(b"content-length", length)], **POST)
    assert client.status == 400
    assert client.is_whole


@pytest.mark.parametrize("framing", ["chunked", "http2"])
def test_body_without_a_length(
    waiting_runner: str, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W8, W21: 64 KiB of a body without a length are awaited; a whole one has its length."""
    monkeypatch.setattr("bridge.wsgi.input.needs_length", lambda: False)

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
        assert "HTTP_TRANSFER_ENCODING" not in environ
        return [environ["wsgi.input"].read()]

    more: dict[str, Any] = {
        "chunked": {"headers": [(b"transfer-encoding", b"chunked")]},
        "http2": {"http_version": "2"},
    }[framing]
    for pieces, length in (
        ([b"a", b"", b"bc"], b"3"),
        ([b""], b"0"),
        ([b"x" * 1_000_000], b"1000000"),
        ([b"x" * 20_000] * 5, b"none"),
    ):
        client = ask(app, pieces, runner=waiting_runner, **more, **POST)
        assert (client.headers[b"x-length"], client.body) == (length, b"".join(pieces))
    expecting = [*more.get("headers", ()), (b"expect", b"100-continue")]
    client = ask(app, [b"a"], runner=waiting_runner, **(more | {"headers": expecting}), **POST)
    assert client.headers[b"x-length"] == b"none"


def test_no_body_is_taken_where_there_is_none(runner: str) -> None:
    """W8, W21: a GET without a body gets no Content-Length of ours, and nothing is received."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [repr((environ.get("CONTENT_LENGTH"), environ["wsgi.input"].read())).encode()]

    client = ask(app, runner=runner, spool_body=10)
    assert client.body == b"(None, b'')"
    assert client.received == 0


def test_other_processes(runner: str) -> None:
    """W9: what a server says later is in the environs from then on."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [str(environ["wsgi.multiprocess"]).encode()]

    async def use(adapter: WsgiToAsgi) -> None:
        seen = []
        for several in (True, False):
            adapter.adopt_processes(several=several)
            client = Client()
            await client.ask(adapter)
            seen.append(client.body)
        assert seen == [b"True", b"False"]

    serve(app, use, runner=runner)


def test_propagate_context(runner: str) -> None:
    """W50: with propagate_context the middleware sees what the app changed, close() included."""
    other: contextvars.ContextVar[str] = contextvars.ContextVar("other")

    class Body(list[bytes]):
        def close(self) -> None:
            other.set("set in close")

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        variable.set("set by the app")
        start_response("200 OK", [])
        return Body([b"x"])

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        await adapter(client.scope, client.receive, client.send)
        assert variable.get() == "set by the app"
        assert other.get() == "set in close"
        assert occupied_runners.get() == ()

    serve(app, use, runner=runner, propagate_context=True)


@pytest.mark.parametrize("mounted", [False, True])
def test_error_middleware_around(runner: str, mounted: bool) -> None:
    """W38: the ASGI middleware around sees the app's own exception, with the app's traceback."""

    def broken(environ: Environ, start_response: StartResponse) -> list[bytes]:
        raise LookupError("mine")

    seen: list[BaseException] = []

    async def use(adapter: WsgiToAsgi) -> None:
        inner: Any = bridge.Dispatcher({"/": adapter}) if mounted else adapter

        async def middleware(scope: Any, receive: Any, send: Any) -> None:
            try:
                await inner(scope, receive, send)
            except LookupError as error:
                seen.append(error)

        client = Client()
        await middleware(client.scope, client.receive, client.send)
        assert client.status == 500

    serve(broken, use, runner=runner)
    names = [frame.name for frame in traceback.extract_tb(seen[0].__traceback__)]
    assert names[-1] == "broken"


def test_error_whose_client_left(runner: str, caplog: pytest.LogCaptureFixture) -> None:
    """W38, W40: an error is told once, also if the host has cancelled the request meanwhile."""
    asked, left = threading.Event(), threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        asked.set()
        if runner == "thread":
            assert left.wait(20)
        raise ValueError("mine")

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.slow = asyncio.Event()  # the 500 never leaves
        task = client.ask(adapter)
        await until(asked.is_set)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        left.set()
        await until(lambda: bool(caplog.records))

    serve(app, use, runner=runner)
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "mine"


def test_send_that_fails_otherwise() -> None:
    """W38: an error of the host's own `send` reaches the host."""

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        client.fails = LookupError("of the host")
        with pytest.raises(LookupError):
            await client.ask(adapter)

    serve(hello, use)


def test_no_early_hints() -> None:
    """W42: if the host does not offer them, they are not in the environ."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [b"yes" if "wsgi.early_hints" in environ else b"no"]

    assert ask(app).body == b"no"


def test_errors_stream(capsys: pytest.CaptureFixture[str], runner: str) -> None:
    """W9: `wsgi.errors` is the process's stderr, as text."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.errors"].write("to the log\n")
        return hello(environ, start_response)

    ask(app, runner=runner)
    assert "to the log\n" in capsys.readouterr().err


def test_early_hints() -> None:
    """W42: if the host offers them, they are in the environ."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", "</a.css>")])
        return hello(environ, start_response)

    client = ask(app, extensions={"http.response.early_hint": {}})
    assert client.sent[0] == {"type": "http.response.early_hint", "links": [b"</a.css>"]}


def test_spooled_body_of_a_client_that_leaves() -> None:
    """W23, W25: an app whose body has to be here first does not run if it never comes."""
    client = ask(hello, [b"abc"], whole=False, leaves=True, spool_body=10, **POST)
    assert client.sent == []


def test_spooled_body(runner: str) -> None:
    """W25: a spooled body is here, whole, and its length known."""

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("X-Length", environ["CONTENT_LENGTH"])])
        return [environ["wsgi.input"].read()]

    client = ask(app, [b"ab", b"cd"], runner=runner, spool_body=10, **POST)
    assert (client.headers[b"x-length"], client.body) == (b"4", b"abcd")


def test_refused_client_is_gone() -> None:
    """W8, W40: nobody hears of a refusal whose client has left."""

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client(headers=[(b"content-length", b"x")], **POST)
        client.fails = OSError("gone")
        await client.ask(adapter)
        assert client.sent == []

    serve(hello, use)


def test_an_exit_in_the_middle(runner: str) -> None:
    """W38: an app that would end the host gets its response cut off instead."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"one"
        raise SystemExit

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        with pytest.raises(bridge.BridgeError, match="must be cut off"):
            await client.ask(adapter)
        assert client.body == b"one"
        assert not client.is_whole

    serve(app, use, runner=runner)


def test_a_client_that_leaves_in_the_middle(runner: str) -> None:
    """W40: is no error for the host."""

    def app(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        while True:
            yield b"x" * 1000

    client = ask(app, runner=runner, leaves=True)
    assert client.status == 200
    assert not client.is_whole


def test_response_that_breaks_a_rule_in_the_middle() -> None:
    """W36, W38: a response that is shorter than it said is an error of the app for the host."""

    def app(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [("Content-Length", "5")])
        return iter([b"a", b"b"])

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        with pytest.raises(bridge.BridgeError):
            await client.ask(adapter)
        assert not client.is_whole

    serve(app, use)


# ------------------------------------------------------------- without a task


@pytest.mark.parametrize("runner", ["thread", "inline"])
def test_a_request_that_begins_without_a_task(runner: str) -> None:
    """W30: the caller may take the whole response itself; what it does not take is sent."""

    def in_pieces(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"hel"
        yield b"lo"

    for app, whole in ((hello, True), (in_pieces, False)):
        (exchange,) = begun(app, client := Client(), runner=runner)
        assert (whole_response(exchange) is not None) == whole
        assert client.body == b"hello"
        assert client.is_whole


@pytest.mark.parametrize("settings", [{"runner": "greenlet"}, {"propagate_context": True}])
@pytest.mark.parametrize("request_", [{}, POST, {"headers": [(b"content-length", b"x")]}])
def test_what_cannot_begin_without_a_task(
    settings: dict[str, Any], request_: dict[str, Any]
) -> None:
    """W30: a greenlet, a context that is handed back, a body, a mistake."""
    assert begun(hello, Client(**request_), **settings) == []
    if request_:
        assert begun(hello, client := Client(**request_), runner="inline") == []
        assert client.sent == []


def test_a_loop_that_is_not_served_yet() -> None:
    """W54: the first call of the app starts its runner; nothing begins before."""

    async def use(adapter: WsgiToAsgi) -> None:
        client = Client()
        assert adapter.begin(client.scope, client.receive, client.send, print) is None

    serve(hello, use)
