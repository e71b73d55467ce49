"""Request bodies, over the wire."""

from __future__ import annotations

import json

import pytest

from tests.conftest import StartHost
from tests.contract.wsgi.conftest import APPS, WAYS, eventually, happened, noted
from tests.support import hosts, raw
from tests.support.hosts import BRIDGE_WORKER, Host

CHUNKED = "Transfer-Encoding: chunked"


def body_of(client: raw.Client, target: str, *pieces: bytes, chunked: bool = False) -> bytes:
    """What the app answers to a POST with this body, sent in these pieces."""
    if chunked:
        client.send(raw.request(target, CHUNKED, method="POST"))
        client.send_pieces([raw.chunked(piece)[:-5] for piece in pieces])
        client.send(b"0\r\n\r\n")
    else:
        size = sum(map(len, pieces))
        client.send(raw.request(target, f"Content-Length: {size}", method="POST"))
        client.send_pieces(pieces)
    response = client.response()
    assert response.status == 200
    return response.body


@pytest.mark.parametrize("chunked", [False, True])
def test_echo(client: raw.Client, chunked: bool) -> None:
    """W20, W24: a body arrives whole, sized or chunked, small or large, again and again."""
    for pieces in ([b"abc"], [b"one", b"two", b"three"], [b"x" * 70_000] * 5):
        assert body_of(client, "/echo", *pieces, chunked=chunked) == b"".join(pieces)


@pytest.mark.parametrize("adapter", ["asgi", "spooled"])
@pytest.mark.parametrize("served", [*WAYS, "gunicorn"])
def test_decoded(served: str, adapter: str, shared_host: StartHost) -> None:
    """W8: a body is not marked as coded once it is decoded; one that is here has its length."""
    start = WAYS.get(served, lambda name: hosts.gunicorn(f"{APPS}:{name}", worker=BRIDGE_WORKER))
    host = shared_host(start(adapter))
    with raw.Client(host.connect()) as client:
        for pieces in ([b"abc"], [b"a"] * 500, []):
            noted = json.loads(body_of(client, "/environ", *pieces, chunked=True))
            assert "HTTP_TRANSFER_ENCODING" not in noted
            assert noted["CONTENT_LENGTH"] == str(sum(map(len, pieces)))
            assert noted["terminated"]
        noted = json.loads(body_of(client, "/environ", b"x" * 60_000, b"y" * 60_000, chunked=True))
        assert "HTTP_TRANSFER_ENCODING" not in noted
        assert noted.get("CONTENT_LENGTH") in ("120000", None if adapter == "asgi" else "120000")
        assert "CONTENT_LENGTH" not in json.loads(client.get("/environ").body)


@pytest.mark.parametrize("framework", ["bottle", "falcon"])
@pytest.mark.parametrize("served", [*WAYS])
def test_frameworks_that_need_a_length(served: str, framework: str, shared_host: StartHost) -> None:
    """W24: Bottle and Falcon see a chunked body, small and large; they need its length for that."""
    name = f"tests.support.apps.length_readers:by_{framework}"
    adapter = name.replace(":", ":asgi_")
    command = {
        "native": lambda: hosts.bridge(name),
        "bridge-asgi": lambda: hosts.bridge(adapter, "--interface", "asgi3"),
        "uvicorn": lambda: hosts.uvicorn(adapter),
    }[served]
    with raw.Client(shared_host(command()).connect()) as client:
        for size in (1, 100_000, 3_000_000):
            body = raw.chunked(b"x" * size, b"y")
            client.send(raw.request("/", CHUNKED, method="POST") + body)
            assert json.loads(client.response().body) == {"size": size + 1}


def test_calls(client: raw.Client) -> None:
    """W20: readline, read, readlines with a hint, read(0) and iteration, as files have them."""
    expected = [b"one\n", b"two", b"\n", b"", b"three\n", b"four"]
    assert body_of(client, "/lines", b"one\ntw", b"o\nthree\n", b"four") == repr(expected).encode()


def test_interleaved(client: raw.Client) -> None:
    """W20, W39: an app may read its body while it streams its response."""
    assert body_of(client, "/echo_stream", b"0123456789") == b"0123456789"


def test_expect_continue(client: raw.Client, way: str) -> None:
    """W21: `100 Continue` is sent when the app reads, and not at all if it does not.

    W25: but where our own server would take a thread for it, the body is asked for before.
    """
    if way.endswith("inline"):
        return  # its body is taken before it runs, so it is always asked for
    client.send(raw.request("/echo", "Expect: 100-continue", "Content-Length: 3", method="POST"))
    assert client.line() == b"HTTP/1.1 100 Continue"
    assert client.line() == b""
    client.send(b"abc")
    assert client.response().body == b"abc"
    client.send(raw.request("/unread", "Expect: 100-continue", "Content-Length: 3", method="POST"))
    if way == "native":
        assert client.line() == b"HTTP/1.1 100 Continue"
        assert client.line() == b""
        client.send(b"abc")
    response = client.response()
    assert (response.body, response.informational) == (b"unread", [])


@pytest.mark.parametrize("chunked", [False, True])
def test_unread(host: Host, chunked: bool) -> None:
    """W26: what the app leaves unread is not taken for the next request."""
    smuggled = raw.request("/environ?smuggled")
    with raw.Client(host.connect()) as client:
        body_of(client, "/unread", smuggled, b"x" * 1000, chunked=chunked)
        if client.is_closed(0.2):  # a host may close instead
            return
        assert body_of(client, "/echo", b"next") == b"next"


@pytest.mark.parametrize("cut", ["sized", "chunked"])
def test_cut_off(host: Host, way: str, name: str, cut: str) -> None:
    """W23: a client that goes in mid-upload makes the read raise; it never looks whole."""
    with raw.Client(host.connect()) as client:
        framing = "Content-Length: 500000" if cut == "sized" else CHUNKED
        client.send(raw.request(f"/upload?{name}", framing, method="POST"))
        body = b"x" * 200_000
        client.send(body if cut == "sized" else raw.chunked(body)[:-5])
    if way.endswith("inline"):
        assert eventually(lambda: noted(host)["stats"][0] == 0)
        assert noted(host, name)["events"] == []
    else:
        assert happened(host, name, "cut off") == ["cut off"]


@pytest.mark.parametrize("served", [*WAYS])
@pytest.mark.parametrize("how", ["sized", "chunked"])
def test_max_body_size(served: str, how: str, shared_host: StartHost) -> None:
    """W22: a body above `max_body_size` is a 413, one of just that size is not."""
    host = shared_host(WAYS[served]("limited"))
    with raw.Client(host.connect()) as client:
        assert body_of(client, "/echo", b"x" * 1000, chunked=how == "chunked") == b"x" * 1000
    with raw.Client(host.connect()) as client:
        body = b"x" * 1001
        if how == "sized":
            client.send(raw.request("/echo", method="POST", body=body))
        else:
            client.send(raw.request("/echo", CHUNKED, method="POST") + raw.chunked(body))
        assert client.response().status == 413


@pytest.mark.parametrize("served", [*WAYS])
def test_slow_upload_holds_no_thread(served: str, shared_host: StartHost) -> None:
    """W25: with spool_body, natively without it too, slow uploads leave the one thread free."""
    spooled = shared_host(WAYS[served]("spooled"))
    hosts = [spooled]
    if served == "native":
        hosts.append(shared_host(WAYS[served]("one_thread")))
    for host in hosts:
        slow = [raw.Client(host.connect()) for _ in range(5)]
        for client in slow:
            client.send(raw.request("/echo", "Content-Length: 3000", method="POST") + b"x" * 2000)
        with raw.Client(host.connect()) as client:
            assert client.get("/hello").status == 200
        for client in slow:
            client.send(b"y" * 1000)
            assert client.response().body == b"x" * 2000 + b"y" * 1000
            client.sock.close()
