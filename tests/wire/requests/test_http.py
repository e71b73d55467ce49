"""HTTP/1.1 over the wire: connections, framing and fields, the scope (S1, S10, S11, S13)."""

from __future__ import annotations

import ast
import json
import time
from email.utils import parsedate_to_datetime

import pytest

from tests.conftest import StartHost
from tests.support.events import event
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, Closed, request
from tests.support.waiting import eventually

APP = "tests.support.apps.http_rules:app"


# ------------------------------------------------------------- keep-alive and pipelining


def test_keep_alive(client: Client) -> None:
    """S1: HTTP/1.1 connections go on; HTTP/1.0 ones where asked, and that is confirmed."""
    for _ in range(3):
        assert client.get("/").values(b"connection") == []
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.response().value(b"connection") == b"keep-alive"
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.response().closes
    assert client.is_closed()


def test_pipelining_in_order(client: Client) -> None:
    """S1: pipelined requests are answered in their order, also where the first is the slowest."""
    targets = ["/sleep?0.1", "/", "/respond?piece=a&piece=b", "/sleep?0.05", "/hints"]
    client.send(b"".join(request(target) for target in targets))
    bodies = [client.response().body for _ in targets]
    assert bodies == [b"slept", b"hello", b"ab", b"slept", b"hinted"]


def test_pipelining_is_bounded(host: Host, client: Client) -> None:
    """S1: while a request is answered, only so many wait: a client that goes on has to wait."""
    client.sock.settimeout(1)
    client.send(request("/hold?bounded"))
    eventually(lambda: event(host, "bounded") == "waits")
    data = request("/respond?piece=" + "x" * 1000) * 60
    sent = 0
    try:
        while sent < 50_000_000:
            sent += client.sock.send(data)
    except TimeoutError:
        pass
    assert sent < 50_000_000
    client.sock.settimeout(10)
    with Client(host.connect()) as other:
        other.get("/release")
    assert client.response().body == b"released"
    for _ in range(sent // len(request("/respond?piece=" + "x" * 1000))):
        assert client.response().body == b"x" * 1000


def test_many_pipelined_requests(client: Client) -> None:
    """S1: thousands of requests in one write are all answered, in order."""
    client.send(b"".join(request(f"/respond?piece={i}") for i in range(2000)))
    assert [int(client.response().body) for _ in range(2000)] == list(range(2000))


def test_pipelined_behind_a_thread(shared_host: StartHost) -> None:
    """S1: a request that came with one that a thread answers is answered right behind it.

    If that waited for what looks after connections once a second, these would take over a minute.
    """
    host = shared_host(bridge("tests.support.apps.wsgi_ways:app", "--runner=thread"))
    pairs, limit = 100, 50
    with Client(host.connect()) as client:  # which keeps its side open
        end = time.monotonic() + limit
        for number in range(pairs):
            client.send(request("/", method="HEAD") + request("/"))
            assert client.response("HEAD").body == b""
            assert client.response().body == b"hello"
            assert time.monotonic() < end, f"{number} of {pairs} in {limit} s"


def test_context_is_fresh(client: Client) -> None:
    """S13: each request starts in a fresh context, also when it was pipelined behind another."""
    client.send(request("/context?one") + request("/context?later") + request("/context?three"))
    assert [client.response().body for _ in range(3)] == [b"nothing"] * 3


# ------------------------------------------------------------- framing


def test_length_is_filled_in(client: Client) -> None:
    """S10: a body of one piece gets its Content-Length."""
    response = client.get("/respond?piece=hello")
    assert (response.framing, response.body) == ("length", b"hello")


def test_chunks(client: Client) -> None:
    """S10: a body in pieces is chunked on HTTP/1.1; empty pieces do not end it."""
    response = client.get("/respond?piece=a&piece=&piece=bc&piece=")
    assert (response.framing, response.chunks) == ("chunked", [b"a", b"bc"])
    assert client.get("/").body == b"hello"


def test_pieces_with_a_length(client: Client) -> None:
    """S10: a body in pieces whose length is declared is not chunked."""
    response = client.get("/respond?length=3&piece=a&piece=&piece=bc")
    assert (response.framing, response.body) == ("length", b"abc")


def test_http10_body_ends_with_the_connection(client: Client) -> None:
    """S10: for HTTP/1.0 a body of unknown length ends with the connection, kept alive or not."""
    client.send(b"GET /respond?piece=a&piece=b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    response = client.response()
    assert (response.framing, response.body) == ("close", b"ab")
    assert response.closes


@pytest.mark.parametrize(
    "query", ["piece=hello", "piece=a&piece=b", "length=5&piece=hello", "length=5"]
)
def test_head(client: Client, query: str) -> None:
    """S10: HEAD has the fields of GET, and no body, whatever the app sends."""
    response = client.get(f"/respond?{query}", method="HEAD")
    assert (response.status, response.framing, response.body) == (200, "none", b"")
    if query != "piece=a&piece=b":
        assert response.value(b"content-length") == b"5"
    assert client.get("/").body == b"hello"


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize(
    "query", ["", "&piece=hello", "&piece=a&piece=b", "&length=0", "&length=5"]
)
def test_statuses_without_a_body(client: Client, status: int, query: str) -> None:
    """S10: 204 and 304 have no body, 204 no Content-Length either; the connection goes on."""
    response = client.get(f"/respond?status={status}{query}")
    assert (response.status, response.body) == (status, b"")
    assert response.values(b"transfer-encoding") == []
    assert client.get("/").body == b"hello"


def test_unknown_status(client: Client) -> None:
    """S10: statuses that have no standard reason pass."""
    response = client.get("/respond?status=799&piece=a")
    assert (response.status, response.body) == (799, b"a")


def test_one_write_per_response(client: Client) -> None:
    """S10: head and body of a small response leave together."""
    client.send(request("/"))
    assert client.sock.recv(65536).endswith(b"\r\n\r\nhello")


@pytest.mark.parametrize("piece", ["piece=abcd", "piece=ab&piece=cd", "piece=a&piece=bcd&piece="])
def test_longer_than_declared(host: Host, client: Client, piece: str) -> None:
    """S10: a body longer than its Content-Length is cut, logged, and the connection closed."""
    said = host.log_size()
    response = client.get(f"/respond?length=3&{piece}")
    assert len(response.body) == 3
    assert client.is_closed()
    assert "is longer than its Content-Length of 3 bytes" in host.log(said)


def test_endlessly_longer_than_declared(host: Host, client: Client) -> None:
    """S10: an app that never stops sending is stopped, and does not hold the loop."""
    assert client.get("/endless").body == b"0123456012"
    assert client.is_closed()
    eventually(lambda: event(host, "endless") == "stopped by OSError")


@pytest.mark.parametrize("piece", ["piece=hello", "piece=hel&piece=lo", "piece="])
def test_shorter_than_declared(host: Host, client: Client, piece: str) -> None:
    """S10: a body shorter than its Content-Length is logged, and the client can tell."""
    said = host.log_size()
    with pytest.raises(Closed):
        client.get(f"/respond?length=9&{piece}")
    assert "and its Content-Length is 9" in host.log(said)


# ------------------------------------------------------------- fields


@pytest.mark.parametrize("number", range(12))
def test_injection(host: Host, client: Client, number: int) -> None:
    """S10: a header that could end its line, or is none, is an error in the app: 500."""
    said = host.log_size()
    response = client.get(f"/inject?{number}")
    assert response.status == 500
    assert b"never seen" not in response.body
    assert "IllegalMessage" in host.log(said)
    assert client.get("/").body == b"hello"


def test_refused_start_leaves_no_trace(client: Client) -> None:
    """S10: an app that catches the error may start again."""
    response = client.get("/second_start")
    assert (response.body, len(response.values(b"date"))) == (b"mended", 1)


def test_hop_by_hop_fields_are_ours(client: Client) -> None:
    """S10: Connection and Transfer-Encoding of the app are not passed on; close is heeded."""
    fields = "header=Transfer-Encoding:chunked&header=Connection:close&header=Keep-Alive:x"
    response = client.get(f"/respond?piece=hello&{fields}")
    assert (response.framing, response.body, response.closes) == ("length", b"hello", True)
    assert response.values(b"keep-alive") == []
    assert client.is_closed()


def test_blanks_around_a_value(client: Client) -> None:
    """S10: they are no part of a field, and do not leave."""
    response = client.get(
        "/respond?piece=hello&header=X-A:%20%09a%20b%09&header=Content-Length:%205"
    )
    assert (response.values(b"x-a"), response.values(b"content-length")) == ([b"a b"], [b"5"])


def test_misuse(client: Client) -> None:
    """S10: messages that are malformed or out of order raise in the app, and harm nothing."""
    assert client.get("/misuse").body == b",".join([b"IllegalMessage"] * 6)


def test_date_and_server(client: Client) -> None:
    """S11: Date and Server are there, once, and Date is a date of today."""
    for target in ("/", "/respond?piece=a&piece=b", "/respond?status=304"):
        response = client.get(target)
        assert response.value(b"server") == b"asgi-bridge"
        parsedate_to_datetime((response.value(b"date") or b"").decode())


@pytest.mark.parametrize("pieces", ["piece=a", "length=1&piece=a", "piece=a&piece=b"])
def test_own_date_and_server(client: Client, pieces: str) -> None:
    """S11: an app's own Date and Server are kept."""
    response = client.get(f"/respond?{pieces}&header=Date:now&header=SERVER:mine")
    assert response.value(b"date") == b"now"
    assert response.value(b"server") == b"mine"


def test_neither_date_nor_server(start_host: StartHost) -> None:
    """S11: both can be switched off, for refusals too."""
    host = start_host(bridge(APP, "--no-date-header", "--no-server-header", "--no-access-log"))
    with Client(host.connect()) as client:
        for target in ("/", "/respond?piece=a&piece=b", "http://"):
            response = client.get(target)
            assert response.values(b"date") == response.values(b"server") == []


# ------------------------------------------------------------- the scope


def test_scope(host: Host, client: Client) -> None:
    """S13: the scope, key by key."""
    client.send(
        b"POST /%73cope?a=%20b HTTP/1.1\r\nHost: Example\r\nX-Two: 1\r\nCookie: a\r\n"
        b"x-two:\t2 \r\nContent-Length: 0\r\n\r\n"
    )
    scope = ast.literal_eval(client.response().body.decode())
    address = client.sock.getsockname()
    assert scope.pop("state").keys() == {"started", "shared"}
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/scope",
        "raw_path": b"/%73cope",
        "query_string": b"a=%20b",
        "root_path": "",
        "headers": [
            (b"host", b"Example"),
            (b"x-two", b"1"),
            (b"cookie", b"a"),
            (b"x-two", b"2"),
            (b"content-length", b"0"),
        ],
        "client": address[:2],
        "server": (host.address, host.port),
        "extensions": {
            "http.response.early_hint": {},
            "http.response.pathsend": {},
            "http.response.trailers": {},
        },
    }


def test_scope_of_http10_and_absolute_form(client: Client) -> None:
    """S13: HTTP/1.0 is told; the authority of an absolute target takes the Host's place."""
    client.send(b"GET http://other:81/scope HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
    scope = ast.literal_eval(client.response().body.decode())
    assert (scope["http_version"], scope["raw_path"]) == ("1.0", b"/scope")
    assert (b"host", b"other:81") in scope["headers"]


@pytest.mark.parametrize("method", ["MUX", "QUERY", "M-SEARCH", "x!y", "get"])
def test_any_method_is_the_apps(client: Client, method: str) -> None:
    """S4: any method token reaches the app as it was sent, with its body framed as ever."""
    for _ in range(2):
        client.send(request("/scope", method=method, body=b"0123456789"))
        scope = ast.literal_eval(client.response().body.decode())
        assert scope["method"] == method
    assert client.get("/").body == b"hello"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"OPTIONS *", "*"),
        (b"GET http://other/a?b=c", "/a"),
        (b"GET https://other", "/"),
        (b"GET //other/path", "//other/path"),
        (b"GET /caf%C3%A9", "/caf\xe9"),
    ],
)
def test_targets(client: Client, line: bytes, path: str) -> None:
    """S4: targets in absolute and asterisk form are understood; two slashes begin a path."""
    client.send(line + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    body = client.response().body
    assert body == b"hello" if path == "/" else ast.literal_eval(body.decode())["path"] == path
    assert client.get("/").body == b"hello"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"CONNECT other:443", 501),
        (b"GET /caf\xc3\xa9", 400),
        (b"GET /caf\xe9", 400),
        (b"G@T /", 400),
        (b"GET ftp://other/", 400),
    ],
)
def test_wrong_targets(client: Client, line: bytes, status: int) -> None:
    """S4: CONNECT is refused; raw bytes beyond ASCII in a path, and other schemes, are a 400."""
    client.send(line + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.response().status == status
    assert client.is_closed()


#: What browsers and others send as it is (URL standard), and what an app is to get.
UNENCODED = b'/a|b%?{"q":"100%"}&x^y`z`\\d=\xe9\x85'


@pytest.mark.parametrize("form", [b"", b"http://other"])
def test_what_browsers_do_not_encode(client: Client, form: bytes) -> None:
    """S4: what RFC 3986 leaves out and browsers send is passed on as it came."""
    target = UNENCODED.replace(b"/a", b"/scope/a")
    client.send(b"GET " + form + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    scope = ast.literal_eval(client.response().body.decode())
    assert (scope["path"], scope["raw_path"]) == ("/scope/a|b%", b"/scope/a|b%")
    assert scope["query_string"] == UNENCODED.partition(b"?")[2]


@pytest.mark.parametrize("place", [b"/wsgi|", b"/asgi"])
def test_what_browsers_do_not_encode_in_mounts(shared_host: StartHost, place: bytes) -> None:
    """S4, D6: the same behind a Dispatcher, in prefixes too."""
    echo = "tests.support.apps.echo"
    mounts = f"--mount=/wsgi|={echo}:wsgi_app", f"--mount=/asgi={echo}:app"
    with Client(shared_host(bridge(*mounts)).connect()) as client:
        client.send(b"GET " + place + UNENCODED + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response().body == b"GET " + place + UNENCODED + b" "


@pytest.mark.parametrize(
    "target", [b"/a{b", b"/a}b", b"/a^b", b"/a`b", b"/a\\b", b"/?a<b", b"/?a\x7f", b"/?a#b"]
)
def test_what_nobody_sends_unencoded(client: Client, target: bytes) -> None:
    """S4: what neither RFC 3986 nor the URL standard leaves as it is, is a 400."""
    client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.response().status == 400
    assert client.is_closed()


def test_raw_bytes_in_the_error_log(host: Host, client: Client) -> None:
    """S4, S50: bytes that a client put into its query come escaped into the log."""
    said = host.log_size()
    client.send(b"GET /fail?\x9b2J\x85 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.response().status == 500
    eventually(lambda: "the app raised in GET /fail?\\x9b2J\\x85\n" in host.log(said))


def test_state_is_a_copy(client: Client) -> None:
    """S13: each request gets a shallow copy of the lifespan's state."""
    first = json.loads(client.get("/state").body)
    second = json.loads(client.get("/state").body)
    assert first[0] == second[0] == ["shared", "started"]
    assert second[1] == first[1] + 1
