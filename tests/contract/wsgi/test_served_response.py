"""Responses, over the wire: what the client sees of each rule."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.contract.wsgi.conftest import WAYS, eventually, happened, noted
from tests.support import raw
from tests.support.apps import wsgi_rules
from tests.support.hosts import Host


def test_one_piece(client: raw.Client) -> None:
    """W35: a body of one piece has a Content-Length."""
    response = client.get("/hello")
    assert (response.status, response.body) == (200, b"Hello, world!")
    assert response.value(b"content-length") == b"13"
    assert response.value(b"content-type") == b"text/plain"


def test_empty(client: raw.Client) -> None:
    """W35: an empty iterable sends a response."""
    response = client.get("/empty")
    assert (response.status, response.body) == (200, b"")
    assert response.value(b"content-length") == b"0"


@pytest.mark.parametrize("path", ["/hello", "/stream", "/write", "/empty", "/file?0", "/late"])
def test_head(client: raw.Client, path: str) -> None:
    """W35: HEAD carries no body, whatever the app sends, and the connection goes on."""
    assert client.get(path, method="HEAD").body == b""
    assert client.get("/hello").body == b"Hello, world!"


@pytest.mark.parametrize("status", ["204+No+Content", "304+Not+Modified"])
def test_no_body(client: raw.Client, status: str) -> None:
    """W35: 204 and 304 carry no body, though the app sends one."""
    response = client.get(f"/status?{status}")
    assert (response.status, response.body) == (int(status[:3]), b"")
    assert client.get("/hello").body == b"Hello, world!"


@pytest.mark.parametrize("status", ["404+Not+Found", "404", "299+Any", "599"])
def test_status(client: raw.Client, status: str) -> None:
    """W34: `NNN reason` and `NNN` are statuses."""
    response = client.get(f"/status?{status}")
    assert (response.status, response.body) == (int(status[:3]), b"body")


@pytest.mark.parametrize("wrong", wsgi_rules.WRONG)
def test_wrong_start(client: raw.Client, host: Host, wrong: str) -> None:
    """W34: a status or header that is not allowed is a 500, and the log says why."""
    said = host.log_size()
    response = client.get(f"/wrong?{wrong}")
    assert response.status == 500
    assert response.value(b"x-b") is None
    assert eventually(lambda: "IllegalResponse" in host.log(said))


@pytest.mark.parametrize("kind", ["whole", "stream"])
@pytest.mark.parametrize("case", wsgi_rules.BESIDE)
def test_beside_pep_3333(host: Host, case: str, kind: str) -> None:
    """W34, S10: what servers take is taken, hop-by-hop fields left out; a close is obeyed."""
    with raw.Client(host.connect()) as client:
        response = client.get(f"/beside?{case}&{kind}")
        assert response.status == 200
        assert response.value(b"x-a") == b"a"
        assert response.body in (b"in one!", b"streams")
        assert response.closes == (case == "close")
        if case == "close":
            assert client.is_closed(10)
        else:
            assert client.get("/hello").body == b"Hello, world!"


@pytest.mark.parametrize("wrong", wsgi_rules.CHUNKS)
def test_wrong_body(client: raw.Client, host: Host, wrong: str) -> None:
    """W34: a body that is no iterable of bytes is a 500, and a TypeError in the log."""
    said = host.log_size()
    assert client.get(f"/wrong_body?{wrong}").status == 500
    assert eventually(lambda: "TypeError" in host.log(said))


def test_stream(client: raw.Client, host: Host, name: str) -> None:
    """W30, W37, W39: chunks arrive; empty ones leave no trace; close() is called once."""
    response = client.get(f"/stream?{name}")
    assert response.body == b"onetwo"
    assert happened(host, name, "closed in the same thread") == ["closed in the same thread"]


def test_chunks_arrive_when_made(client: raw.Client, host: Host, way: str, name: str) -> None:
    """W39: each chunk is with the client before the app makes the next."""
    if way.endswith("inline"):
        return  # it may not wait, so its chunks are all made at once
    client.send(raw.request(f"/slowly?{name}"))
    seen = bytearray()
    while not seen.endswith(b"0\r\n"):
        seen += client.more()
    for number in (b"1", b"2", b"0\r\n"):
        with raw.Client(host.connect()) as other:
            other.get(f"/next_step?{name}")
        while number not in seen[-8:]:
            seen += client.more()
    assert seen.endswith(b"0\r\n\r\n")


def test_write(client: raw.Client) -> None:
    """W32: what is given to write() leaves before the iterable."""
    assert client.get("/write").body == b"one,two,three"


def test_late_start(client: raw.Client) -> None:
    """W33: start_response in the first step of the iterable."""
    response = client.get("/late")
    assert (response.status, response.body) == (201, b"late")


def test_replaced(client: raw.Client) -> None:
    """W30: with exc_info status and headers are replaced until something has left."""
    response = client.get("/replaced")
    assert (response.status, response.body) == (503, b"sorry")
    assert response.value(b"x-first") is None
    assert response.value(b"x-second") == b"2"


def test_re_raised(client: raw.Client, host: Host, name: str) -> None:
    """W31, W38: after something has left, exc_info is raised again, and the response is cut."""
    with pytest.raises((raw.Closed, ConnectionResetError)):
        client.get(f"/re_raised?{name}")
    assert happened(host, name, "raised again") == ["raised again"]


def test_twice_and_never(client: raw.Client) -> None:
    """W31: start_response twice is an error in the app; never, a 500."""
    assert client.get("/twice").body == b"refused"
    assert client.get("/never").status == 500


def test_too_long(client: raw.Client, host: Host, name: str) -> None:
    """W36, W37: cut at Content-Length; iteration stops; logged; the connection goes on."""
    said = host.log_size()
    assert client.get(f"/too_long?{name}").body == b"hello"
    assert client.get("/hello").body == b"Hello, world!"
    assert happened(host, name, "closed in the same thread") == [
        "hel",
        "loXXX",
        "closed in the same thread",
    ]
    assert "more bytes than its Content-Length" in host.log(said)


def test_too_short(client: raw.Client, host: Host, name: str) -> None:
    """W36: fewer bytes than Content-Length: the client can tell, and it is logged."""
    said = host.log_size()
    with pytest.raises((raw.Closed, ConnectionResetError)):
        client.get(f"/too_short?{name}")
    assert happened(host, name, "closed in the same thread") == ["closed in the same thread"]
    assert "4 bytes shorter than its Content-Length" in host.log(said)


def test_nothing_of_the_body(client: raw.Client, host: Host, name: str) -> None:
    """W36, W38: not a byte of the body that was announced: a 500, for nothing has left yet."""
    said = host.log_size()
    assert client.get(f"/without_its_body?{name}").status == 500
    if host.name == "uvicorn":  # closes after an exception
        client = raw.Client(host.connect())
    with client:
        assert client.get("/hello").status == 200
    eventually(lambda: "9 bytes shorter than its Content-Length" in host.log(said))


@pytest.mark.parametrize("error", wsgi_rules.ERRORS)
def test_error(client: raw.Client, host: Host, error: str) -> None:
    """W38: any exception is a 500 that tells nothing, logged once, and the server goes on."""
    said = host.log_size()
    response = client.get(f"/error?{error}")
    assert response.status == 500
    assert response.value(b"x-secret") is None
    assert b"secret" not in response.body
    if host.name == "uvicorn":  # closes after an exception
        client = raw.Client(host.connect())
    with client:
        assert client.get("/hello").status == 200
    eventually(lambda: f"{error}: secret" in host.log(said))
    assert host.log(said).count(f"{error}: secret") == 1


def test_error_in_stream(client: raw.Client, host: Host, name: str) -> None:
    """W37, W38: a response that breaks off is never ended as if it were whole."""
    with pytest.raises((raw.Closed, ConnectionResetError)):
        client.get(f"/error_in_stream?{name}")
    assert happened(host, name, "closed in the same thread") == ["closed in the same thread"]


def test_error_in_close(client: raw.Client, host: Host, name: str) -> None:
    """W37: an exception of close() is logged; the response was whole."""
    said = host.log_size()
    assert client.get(f"/error_in_close?{name}").body == b"fine"
    happened(host, name, "closed in the same thread")
    assert client.get("/hello").status == 200
    assert "in close" in host.log(said)


# ------------------------------------------------------------- files and hints


@pytest.mark.parametrize("part", ["0", "100", "0,50", "100,1000", "7,3"])
def test_file(client: raw.Client, part: str) -> None:
    """W41: a file is sent from its position on, as far as Content-Length says."""
    whole = Path(wsgi_rules.__file__).read_bytes()
    offset, _, length = part.partition(",")
    expected = whole[int(offset) :][: int(length or len(whole))]
    for _ in range(2):
        response = client.get(f"/file?{part}")
        assert response.body == expected
        assert response.value(b"content-length") == str(len(expected)).encode()


def test_early_hints(client: raw.Client, way: str) -> None:
    """W42: early hints are sent where the host offers them."""
    response = client.get("/hints")
    assert response.body == b"Hello, world!"
    hints = [(hint.status, hint.fields) for hint in response.informational]
    if not way.startswith("uvicorn"):
        assert hints == [(103, [(b"link", b"</a.css>; rel=preload")])]


# ------------------------------------------------------------- clients that go, or are slow


@pytest.mark.parametrize("path", ["endless", "endless_write"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_goes(host: Host, way: str, name: str, path: str, how: str) -> None:
    """W37, W40: the app is stopped at its next chunk; close() is called once, in its thread."""
    if way.endswith("inline") and path == "endless_write":
        return  # write() cannot pause, and an inline app that never ends is not for it
    client = raw.Client(host.connect())
    client.send(raw.request(f"/{path}?{name}"))
    client.more()
    if how == "reset":
        client.reset()
    client.sock.close()
    last = "closed in the same thread" if path == "endless" else "write raised"
    assert happened(host, name, last) == ["opened", last]
    # The request that asks is itself busy; the one that ends may not be back in its pool yet.
    eventually(lambda: noted(host)["stats"][0] <= 1)


def test_not_ahead_of_a_slow_client(host: Host, name: str) -> None:
    """W39: the app is a bounded way ahead of a client that does not read."""
    with raw.Client(host.connect()) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        client.send(raw.request(f"/ahead?{name}"))
        client.more()
        made, before = noted(host, name)["made"], -1
        while made != before:
            before, made = made, noted(host, name)["made"]
        # 64 KiB in the bridge; the rest is the two kernels' buffers, of a few MB at most.
        assert made < 1500
    assert happened(host, name, "closed in the same thread")


@pytest.mark.parametrize("served", [*WAYS])
def test_slow_readers_hold_no_thread(served: str, shared_host: StartHost) -> None:
    """W25: what a slow client has yet to take of a response is left to the loop."""
    host = shared_host(WAYS[served]("one_thread"))
    slow = [raw.Client(host.connect()) for _ in range(5)]
    for client in slow:
        client.send(raw.request("/large"))
        client.line()
    with raw.Client(host.connect()) as client:
        assert client.get("/hello").body == b"Hello, world!"
    for client in slow:
        while client.line():
            pass
        assert client.exactly(5_000_000) == b"x" * 5_000_000
        client.sock.close()
