"""An unchanged flask-sock app gets WebSockets, on our server and under uvicorn."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync import client as sync

from tests.conftest import StartHost
from tests.contract.wsgi.conftest import WAYS, eventually
from tests.support import raw
from tests.support.hosts import Command, Host


def served(way: str, name: str = "asgi", module: str = "flask_sockets") -> Command:
    """The Flask app, served this way."""
    command = WAYS[way](name)
    argv = (arg.replace("wsgi_rules", module) for arg in command.argv)
    return Command(command.name, tuple(argv))


@pytest.fixture(params=[*WAYS])
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    return shared_host(served(request.param))


def dial(host: Host, path: str, **options: Any) -> sync.ClientConnection:
    return sync.connect(host.url(path, "ws"), open_timeout=20, proxy=None, **options)


def count(host: Host) -> dict[str, Any]:
    with raw.Client(host.connect()) as client:
        told: dict[str, Any] = json.loads(client.get("/count").body)
        return told


def test_text_and_binary(host: Host) -> None:
    """W60: text, binary, empty, large and fragmented messages go both ways."""
    with dial(host, "/echo", max_size=None) as ws:
        for message in ("text", "caf\xe9 \N{SNOWMAN}", b"\0\xff", "", b"", "x" * 300_000):
            ws.send(message)
            assert ws.recv(timeout=20) == message
        ws.send(["frag", "men", "ted"])
        assert ws.recv(timeout=20) == "fragmented"


def test_many_messages(host: Host) -> None:
    """W60: a flood of messages keeps its order."""
    with dial(host, "/echo") as ws:
        for number in range(300):
            ws.send(str(number))
        assert [ws.recv(timeout=20) for _ in range(300)] == [str(n) for n in range(300)]


@pytest.mark.parametrize("way", WAYS)
def test_pings(way: str, shared_host: StartHost) -> None:
    """W60: pings of the client, and of the app (every 0.3 s here), are answered."""
    with dial(shared_host(served(way, "pinging")), "/echo") as ws:
        for _ in range(3):
            assert ws.ping().wait(20)
        # The app closes with 1008 where its own ping is not answered until the next one.
        for _ in range(4):
            with pytest.raises(TimeoutError):
                ws.recv(timeout=0.3)
        ws.send("still there")
        assert ws.recv(timeout=20) == "still there"


def test_closed_by_the_client(host: Host) -> None:
    """W60: the app's thread ends when the client closes, or is gone without a word."""
    for how in ("close", "vanish"):
        before = count(host)["ended"]
        with dial(host, "/echo") as ws:
            ws.send("x")
            ws.recv(timeout=20)
            if how == "close":
                ws.close(4002, "enough")
            else:
                ws.socket.shutdown(socket.SHUT_RDWR)
        eventually(lambda n=before: count(host)["ended"] == n + 1)


def test_closed_by_the_app(host: Host) -> None:
    """W60: code and reason of the app reach the client."""
    with dial(host, "/close") as ws:
        assert ws.recv(timeout=20) == "bye"
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=20)
        assert (ws.close_code, ws.close_reason) == (4001, "because")


def test_app_returns_or_raises(host: Host) -> None:
    """W60: an app that returns closes normally; one that fails with 1011."""
    for path, code in (("/return", 1000), ("/raise", 1011)):
        with dial(host, path) as ws:
            with pytest.raises(ConnectionClosed):
                ws.recv(timeout=20)
            assert ws.close_code == code


def test_app_goes_on(host: Host) -> None:
    """W60: an app that goes on after it has closed keeps no client waiting."""
    with dial(host, "/linger") as ws:
        with pytest.raises(ConnectionClosed):
            ws.recv(timeout=20)
        assert ws.close_code == 4003
    before = count(host)["ended"]
    with raw.Client(host.connect()) as client:
        client.get("/release")
    eventually(lambda: count(host)["ended"] > before)


def test_handshake(host: Host) -> None:
    """W51, W60: subprotocol, query and fields arrive; the thread is its own, and can wait."""
    headers = {"X-Test": "header"}
    with dial(
        host, "/told?q=1", subprotocols=["other", "superchat"], additional_headers=headers
    ) as ws:
        assert ws.subprotocol == "superchat"
        assert ws.recv(timeout=20) == "superchat|1|header|http|bridge-websocket|MainThread"


def test_refused_by_the_app(host: Host) -> None:
    """W60: an app that answers without taking the WebSocket refuses it."""
    with pytest.raises(InvalidStatus) as caught, dial(host, "/nowhere"):
        pass
    assert caught.value.response.status_code in (403, 404)


@pytest.mark.parametrize("way", WAYS)
def test_not_switched_on(way: str, shared_host: StartHost) -> None:
    """W55, W60: without `websocket=True` the handshake is refused with a 403 and a log line."""
    host = shared_host(served(way, "refusing"))
    said = host.log_size()
    with pytest.raises(InvalidStatus) as caught, dial(host, "/echo"):
        pass
    assert caught.value.response.status_code == 403
    assert "websocket=True" in host.log(said)


def test_five_hundred_at_once(host: Host) -> None:
    """W60: 500 sockets are open and talk while the pool of two threads stays free."""

    async def run() -> None:
        async def talk(number: int) -> ClientConnection:
            async with gate:
                ws = await connect(host.url("/echo", "ws"), open_timeout=60, proxy=None)
            await ws.send(str(number))
            assert await ws.recv() == str(number)
            return ws

        gate = asyncio.Semaphore(50)
        sockets = await asyncio.gather(*(talk(number) for number in range(500)))
        assert (await asyncio.to_thread(count, host))["threads"] >= 500
        await asyncio.gather(*(ws.send("again") for ws in sockets))
        assert [await ws.recv() for ws in sockets] == ["again"] * 500
        await asyncio.gather(*(ws.close() for ws in sockets))

    before = count(host)["ended"]
    asyncio.run(run())
    eventually(lambda: count(host)["ended"] == before + 500, within=30)
    eventually(lambda: count(host)["threads"] < 20)


@pytest.mark.parametrize("end", ["client closes", "client leaves", "app closes"])
@pytest.mark.parametrize("way", WAYS)
def test_flask_socketio(way: str, end: str, shared_host: StartHost) -> None:
    """W60: it takes the connection over; how it says so is no error, nor is any ordinary end."""
    host = shared_host(served(way, module="flask_socketio_app"))
    ended, said = count(host)["ended"], host.log_size()
    with dial(host, "/socket.io/?EIO=4&transport=websocket") as ws:
        assert str(ws.recv(timeout=20)).startswith("0{")
        ws.send("40")
        assert str(ws.recv(timeout=20)).startswith("40{")
        ws.send('420["echo","there"]')
        assert ws.recv(timeout=20) == '430["there"]'
        if end == "app closes":
            ws.send('42["leave"]')
            assert ws.recv(timeout=20) == "41"
        elif end == "client leaves":
            ws.socket.shutdown(socket.SHUT_RDWR)
    eventually(lambda: count(host)["ended"] > ended)
    eventually(lambda: "bridge-websocket" not in count(host)["threads"])
    count(host)
    assert "Traceback" not in host.log(said)
