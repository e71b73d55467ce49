"""What a `WsgiToAsgi` is told, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge import Dispatcher, WsgiToAsgi
from bridge.errors import ConfigError, NotOnAsyncio
from tests.conftest import StartHost
from tests.support import hosts, raw
from tests.support.in_process import http_scope
from tests.support.serving import served


def app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Connection", "keep-alive")])
    return [repr(environ["wsgi.multiprocess"]).encode()]


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app."""


def asgi2(scope: Any) -> Any:
    """An ASGI 2 app."""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": 10}, "workers is no setting of WsgiToAsgi; did you mean threads?"),
        ({"thread": 10}, "thread is no setting of WsgiToAsgi; did you mean threads?"),
        ({"threads": 0}, "threads is 0; allowed is a whole number, at least 1"),
        ({"threads": "many"}, "threads is 'many'; allowed is"),
        ({"strict": "perhaps"}, "strict is 'perhaps'; allowed is"),
        ({"multiprocess": 7}, "multiprocess is 7; allowed is"),
        ({"runner": "fibre"}, "runner is 'fibre'; allowed is one of thread, greenlet, inline"),
    ],
)
def test_wrong_settings(wrong: dict[str, Any], said: str) -> None:
    """W56: they are refused in the words of the command line."""
    with pytest.raises(ConfigError) as error:
        WsgiToAsgi(app, **wrong)
    assert str(error.value).startswith(said)


# ------------------------------------------------------------- strict


@pytest.mark.parametrize(
    ("own", "theirs", "status"),
    [(None, False, 200), (None, True, 500), (False, True, 200), (True, False, 500)],
)
@pytest.mark.parametrize("runner", ["thread", "greenlet"])
def test_strict(own: bool | None, theirs: bool, status: int, runner: str) -> None:
    """W34, S60: `strict` of the app itself wins over the server's; either makes it an error."""
    with served(WsgiToAsgi(app, strict=own, runner=runner), strict=theirs) as server:
        with server.connect() as client:
            assert client.get("/").status == status


def test_strict_in_a_mount() -> None:
    """W34, S60: it holds for mounted apps, too."""
    with served(Dispatcher({"/": app}), strict=True) as server, server.connect() as client:
        assert client.get("/").status == 500


# ------------------------------------------------------------- multiprocess


def test_multiprocess_on_our_server() -> None:
    """W9: one process that knows that it is alone says so; what the app was told wins."""
    for own, said in ((None, b"False"), (True, b"True")):
        for make in (lambda adapter: adapter, lambda adapter: Dispatcher({"/": adapter})):
            with served(make(WsgiToAsgi(app, multiprocess=own))) as server:
                with server.connect() as client:
                    assert client.get("/").body == said


@pytest.mark.parametrize("workers", [1, 2])
def test_multiprocess_under_gunicorn(workers: int, start_host: StartHost) -> None:
    """W9, P10: a worker of several says that there are others."""
    target, options = "tests.adapters.wsgi_on_asgi.test_settings:app", (f"--workers={workers}",)
    host = start_host(hosts.gunicorn(target, *options, worker=hosts.BRIDGE_WORKER))
    with raw.Client(host.connect()) as client:
        assert client.get("/").body == repr(workers > 1).encode()


# ------------------------------------------------------------- other loops


CALLS: dict[str, Callable[[], Any]] = {
    "WsgiToAsgi": lambda: WsgiToAsgi(app)(http_scope("/"), _never, _never),
    "fallback": lambda: Dispatcher(fallback=[asgi, asgi])(http_scope("/"), _never, _never),
}


async def _never(*arguments: Any) -> Any:
    raise AssertionError("called before the loop was looked at")


@pytest.mark.parametrize("what", CALLS)
def test_without_asyncio(what: str) -> None:
    """W57: under trio, the error says what runs on asyncio, and how to start the host with it."""
    call = CALLS[what]()
    with pytest.raises(NotOnAsyncio, match=r"runs on asyncio.*trio.*hypercorn -k asyncio"):
        call.send(None)  # as trio would: there is no loop of asyncio


@pytest.mark.parametrize("make", [WsgiToAsgi, lambda app: Dispatcher({"/": app})])
def test_a_start_without_asyncio(make: Callable[[Any], Any]) -> None:
    """W57: a host that asks for a startup is told there, and does not start."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(StopIteration):
        make(app)({"type": "lifespan"}, receive, send).send(None)
    (message,) = sent
    assert message["type"] == "lifespan.startup.failed"
    assert "runs on asyncio" in message["message"]
