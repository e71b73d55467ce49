"""WebSockets of ASGI 1 consumers on every kind of host, and very many of them."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import bridge
from bridge.channels import get_channel_layer
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.apps.hello import wsgi
from tests.support.hosts import Command, Host
from tests.support.waiting import eventually
from tests.support.websocket import TEXT, WebSocket, frame

TIMEOUT = 20

# ------------------------------------------------------------- the app of all hosts

#: The codes that the consumer was told, by the query of the socket.
ended: dict[str, int] = {}
queries: dict[str, str] = {}


def consumer(message: Any) -> None:
    """Do what the path of the socket says."""
    handlers = {
        "websocket.connect": connected,
        "websocket.receive": received,
        "websocket.disconnect": disconnected,
        "http.request": told,
    }
    handler = handlers.get(message.channel.name)
    if handler is not None:
        handler(message)


def connected(message: Any) -> None:
    reply, path = message.reply_channel, message["path"]
    queries[str(reply)] = message["query_string"].decode()
    if path == "/refuse":
        reply.send({"close": True})
    elif path == "/fail":
        raise RuntimeError("on purpose")
    elif path == "/text":
        reply.send({"text": "at once"})
    elif path == "/wrong":
        reply.send({"status": 200})
    elif path != "/late":
        reply.send({"accept": True})
        message.channel_layer.group_add("all", reply)


def received(message: Any) -> None:
    reply = message.reply_channel
    text = message.get("text")
    if text == "fail":
        raise RuntimeError("on purpose")
    if text == "close":
        reply.send({"text": "bye", "close": 4321})
    elif text == "path":
        reply.send({"text": message["path"]})
    elif text == "all":
        message.channel_layer.send_group("all", {"text": str(message["order"])})
    elif text == "flood":
        text = str(message["order"]).ljust(200_000)
        message.channel_layer.send_group("all", {"text": text})
    else:
        reply.send({key: message[key] for key in ("text", "bytes") if key in message})


def disconnected(message: Any) -> None:
    message.channel_layer.group_discard("all", message.reply_channel)
    query = queries.pop(str(message.reply_channel))
    ended[query] = message["code"]
    print(f"the socket {query} has ended with {message['code']}")


def told(message: Any) -> None:
    """Say which sockets have ended, and how many are in the group."""
    members = len([*get_channel_layer().group_channels("all")])
    message.reply_channel.send(
        {"status": 200, "content": json.dumps({"ended": ended, "members": members}).encode()}
    )


app = bridge.from_asgi1(consumer, websocket_connect_timeout=1)
#: Mounted beside another app.
mounted = bridge.Dispatcher({"/": wsgi, "/sockets": app})
#: For WSGI hosts.
application = bridge.AsgiToWsgi(app)

APP = f"{__name__}:app"
HOSTS = {
    "bridge": hosts.bridge(APP),
    "gunicorn-bridge": hosts.gunicorn(APP, worker=hosts.BRIDGE_WORKER),
    "uvicorn": hosts.uvicorn(APP, "--ws=websockets"),
    "uvicorn-sansio": hosts.uvicorn(APP, "--ws=websockets-sansio"),
    "hypercorn": hosts.hypercorn(APP),
    "gunicorn-gthread": hosts.gunicorn(f"{__name__}:application", threads=16),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """A server of `app`."""
    command: Command = HOSTS[request.param]
    return shared_host(command)


def open_(host: Host, path: str, query: str = "x") -> Any:
    return connect(
        host.url(f"{path}?{query}", "ws"), open_timeout=TIMEOUT, close_timeout=TIMEOUT, proxy=None
    )


def state(host: Host) -> dict[str, Any]:
    """What the app tells of its sockets."""
    told: dict[str, Any] = httpx.get(host.url("/"), trust_env=False, timeout=TIMEOUT).json()
    return told


def code_of(host: Host, query: str) -> int:
    """The code that the consumer is told for the socket with this query, when it is."""
    eventually(lambda: query in state(host)["ended"])
    code: int = state(host)["ended"][query]
    return code


# ------------------------------------------------------------- one socket


def test_messages_both_ways(host: Host) -> None:
    """L4: text and bytes of every size come back in order; the consumer is told the code."""
    with open_(host, "/echo", "both") as client:
        messages = ["", "grüße", b"", b"\x00\xff", "x" * 70_000, b"y" * 200_000]
        for message in messages:
            client.send(message)
        assert [client.recv(timeout=TIMEOUT) for _ in messages] == messages
        client.close(4000)
    # Hypercorn tells no code but this one.
    assert code_of(host, "both") == (1006 if host.name == "hypercorn" else 4000)


def test_data_accepts(host: Host) -> None:
    """L4: a text while it connects accepts, and is sent."""
    with open_(host, "/text") as client:
        assert client.recv(timeout=TIMEOUT) == "at once"


@pytest.mark.parametrize("path", ["/refuse", "/fail", "/wrong", "/late"])
def test_refused(host: Host, path: str) -> None:
    """L4: a close, an error, a wrong reply and no reply in time are a 403, and an end."""
    query = f"refused{path.strip('/')}"
    with pytest.raises(InvalidStatus) as caught, open_(host, path, query):
        pass
    assert caught.value.response.status_code == 403
    assert code_of(host, query) == 1006


@pytest.mark.parametrize(("said", "code"), [("close", 4321), ("fail", 1011)])
def test_closed(host: Host, said: str, code: int) -> None:
    """L4: by the consumer with its code after its last words, and 1011 if it raises."""
    with open_(host, "/echo", f"closed{said}") as client:
        client.send(said)
        if said == "close":
            assert client.recv(timeout=TIMEOUT) == "bye"
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=TIMEOUT)
        assert client.close_code == code
    assert code_of(host, f"closed{said}") == code


def test_a_client_that_vanishes(host: Host) -> None:
    """L4: all that it has said is taken, and then its end is told, whose code is 1006 or 1005."""
    client = WebSocket(host.connect(TIMEOUT))
    assert client.open_handshake("/echo?vanished").status == 101
    client.say(*(frame(TEXT, b"%d" % number) for number in range(20)))
    assert client.read_text() == "0"
    client.reset()
    assert code_of(host, "vanished") in (1005, 1006)


def test_its_group_is_left(host: Host) -> None:
    """L4: however sockets ended, none stays in the group that the consumer takes it out of."""
    with open_(host, "/echo", "stays") as client, open_(host, "/echo", "goes") as other:
        other.close()
        client.send("all")
        assert client.recv(timeout=TIMEOUT) == "1"
    eventually(lambda: state(host)["members"] == 0)


@pytest.mark.parametrize("name", ["bridge", "gunicorn-bridge", "uvicorn"])
def test_a_host_that_stops(name: str, start_host: StartHost) -> None:
    """L4: it closes with 1012, and the consumer is told before the process ends."""
    host = start_host(HOSTS[name])
    with open_(host, "/echo", "stops") as client:
        client.send("x")
        assert client.recv(timeout=TIMEOUT) == "x"
        host.process.terminate()
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=TIMEOUT)
        assert client.close_code == 1012
    assert host.stop() in (0, -signal.SIGTERM)  # uvicorn ends by the signal that it got
    assert "the socket stops has ended with 1012" in host.log()


@pytest.mark.parametrize("name", ["bridge", "uvicorn"])
def test_mounted(name: str, start_host: StartHost) -> None:
    """L4 D4: a consumer in a dispatcher gets its WebSockets, with the whole path."""
    target = f"{__name__}:mounted"
    host = start_host(hosts.bridge(target) if name == "bridge" else hosts.uvicorn(target))
    with open_(host, "/sockets/path", "mounted") as client:
        client.send("path")
        assert client.recv(timeout=TIMEOUT) == "/sockets/path"
    with pytest.raises(InvalidStatus) as caught, open_(host, "/none"):
        pass
    assert caught.value.response.status_code == 403


# ------------------------------------------------------------- very many


@pytest.mark.parametrize("name", ["bridge", "gunicorn-bridge", "uvicorn"])
def test_a_hundred_sockets_in_a_group(name: str, shared_host: StartHost) -> None:
    """L4 L6: each of 100 sockets hears all that is said to the group, each sender's in order."""
    host = shared_host(HOSTS[name])
    rounds = 5

    async def hear(client: ClientConnection) -> list[str]:
        return [str(await client.recv()) for _ in range(100 * rounds)]

    async def main(opened: AsyncExitStack) -> None:
        url = host.url("/echo?many", "ws")
        clients = [
            await opened.enter_async_context(connect_async(url, proxy=None, ping_interval=None))
            for _ in range(100)
        ]
        hearing = [asyncio.create_task(hear(client)) for client in clients]
        for _ in range(rounds):
            for client in clients:
                await client.send("all")
        expected = sorted(str(order) for order in range(1, rounds + 1) for _ in range(100))
        for heard in await asyncio.gather(*hearing):
            assert sorted(heard) == expected

    async def in_time() -> None:
        async with asyncio.timeout(100), AsyncExitStack() as opened:
            await main(opened)

    asyncio.run(in_time())
    eventually(lambda: state(host)["members"] == 0)


def test_order_under_load(shared_host: StartHost) -> None:
    """L4: 50 sockets send 200 messages each as fast as they can; each gets its own, in order."""
    host = shared_host(HOSTS["bridge"])

    async def talk() -> None:
        url = host.url("/echo?load", "ws")
        async with connect_async(url, proxy=None, ping_interval=None) as client:
            sending = asyncio.create_task(send(client))
            for number in range(200):
                assert await client.recv() == str(number)
            await sending

    async def send(client: ClientConnection) -> None:
        for number in range(200):
            await client.send(str(number))

    async def main() -> None:
        async with asyncio.timeout(100):
            await asyncio.gather(*(talk() for _ in range(50)))

    asyncio.run(main())


def test_a_slow_member_holds_up_nobody(shared_host: StartHost) -> None:
    """L4 L6: a member that reads nothing is left out when it is full; the others hear all."""
    host = shared_host(HOSTS["bridge"])
    slow = WebSocket(host.connect(TIMEOUT))
    assert slow.open_handshake("/echo?slow").status == 101
    said = host.log_size()
    with open_(host, "/echo", "quick") as quick:
        for number in range(100):
            quick.send("flood")
            assert quick.recv(timeout=TIMEOUT).rstrip() == str(number + 1)
    assert "a message to the group all did not reach 1 channel" in host.log(said)
    slow.sock.close()
    eventually(lambda: state(host)["members"] == 0)
