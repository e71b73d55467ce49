"""HTTP/1.1 over the wire: what goes out, for every way an app answers (S1, S5, S10-S14)."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, Closed, chunked, request
from tests.support.waiting import eventually

APP = "tests.support.apps.http_rules:app"


@pytest.fixture
def host(shared_host: StartHost) -> Host:
    return shared_host(bridge(APP, "--no-access-log", "--log-level=debug"))


@pytest.fixture
def client(host: Host) -> Iterator[Client]:
    with Client(host.connect()) as client:
        yield client


def event(host: Host, name: str) -> str | None:
    """What the app noted under `name`."""
    with Client(host.connect()) as client:
        noted: dict[str, str] = json.loads(client.get("/events").body)
    return noted.get(name)


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


def test_context_is_fresh(client: Client) -> None:
    """S13: each request starts in a fresh context, also when it was pipelined behind another."""
    client.send(request("/context?one") + request("/context?later") + request("/context?three"))
    assert [client.response().body for _ in range(3)] == [b"nothing"] * 3


# ------------------------------------------------------------- 100-continue


def test_continue_when_the_app_reads(host: Host, client: Client) -> None:
    """S5: 100 Continue is sent when the app first reads, not before, and only once."""
    head = request("/late_reader", "Expect: 100-continue", "Content-Length: 5", method="POST")
    client.send(head)
    eventually(lambda: event(host, "late_reader") == "waits")
    client.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        client.line()
    client.sock.settimeout(10)
    with Client(host.connect()) as other:
        other.get("/release")
    assert client.line() == b"HTTP/1.1 100 Continue"
    assert client.line() == b""
    client.send(b"hello")
    response = client.response()
    assert (response.body, response.informational) == (b"5", [])


def test_no_continue_when_the_app_does_not_read(client: Client) -> None:
    """S5: an app that does not read gets no body: the answer is final, and closes."""
    client.send(request("/ignore", "Expect: 100-continue", "Content-Length: 5", method="POST"))
    response = client.response()
    assert (response.body, response.informational) == (b"ignored", [])
    assert response.closes
    client.end_sending()
    assert client.is_closed()


def test_continue_is_not_sent_for_a_body_that_is_here(client: Client) -> None:
    """S5: where the body has come already, there is nothing to continue."""
    head = request("/length", "Expect: 100-continue", "Content-Length: 5", method="POST")
    client.send(head + b"hello")
    response = client.response()
    assert (response.body, response.informational) == (b"5", [])


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


# ------------------------------------------------------------- the extensions


@pytest.mark.parametrize("query", ["", "?length"])
def test_trailers(client: Client, query: str) -> None:
    """S10: trailers follow the chunks; a declared length gives way to them."""
    response = client.get(f"/trailers{query}")
    assert (response.framing, response.body) == ("chunked", b"hello")
    assert response.trailers == [(b"x-sum", b"1"), (b"x-last", b"2")]
    assert client.get("/").body == b"hello"


def test_trailers_without_chunks(client: Client) -> None:
    """S10: HEAD and HTTP/1.0 have no place for trailers; they are left out, the app not hurt."""
    assert client.get("/trailers", method="HEAD").status == 200
    client.send(b"GET /trailers?length HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert client.response().body == b"hello"
    assert client.get("/trailers").body == b"hello"


def test_early_hints(client: Client) -> None:
    """S10: early hints leave at once as 103, before the response."""
    response = client.get("/hints")
    assert [(each.status, len(each.fields)) for each in response.informational] == [
        (103, 1),
        (103, 2),
    ]
    assert response.informational[0].value(b"link") == b"</style.css>; rel=preload"
    assert response.body == b"hinted"


def test_no_early_hints_for_http10(client: Client) -> None:
    """S10: HTTP/1.0 knows no 1xx."""
    client.send(b"GET /hints HTTP/1.0\r\n\r\n")
    response = client.response()
    assert (response.informational, response.body) == ([], b"hinted")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(range(256)) * 20_000)
    return path


def test_pathsend(client: Client, large: Path) -> None:
    """S10: http.response.pathsend sends a file, with its length where none was declared."""
    response = client.get(f"/path?{large}")
    assert response.framing == "length"
    assert response.body == large.read_bytes()
    assert client.get("/").body == b"hello"


def test_pathsend_to_a_slow_reader(client: Client, large: Path) -> None:
    """S10: a file goes out whole to a client that reads in small pieces, behind other answers."""
    client.send(request("/respond?piece=" + "y" * 5000) + request(f"/path?{large}") + request("/"))
    assert client.response().body == b"y" * 5000
    assert client.response().body == large.read_bytes()
    assert client.response().body == b"hello"


def test_pathsend_head(client: Client, large: Path) -> None:
    """S10: HEAD of a file has its length, and no body."""
    response = client.get(f"/path?{large}", method="HEAD")
    assert response.value(b"content-length") == b"5120000"
    assert client.get("/").body == b"hello"


def test_pathsend_http10(client: Client, large: Path) -> None:
    """S10: a file goes to HTTP/1.0 clients with its length."""
    client.send(f"GET /path?{large} HTTP/1.0\r\n\r\n".encode())
    assert client.response().body == large.read_bytes()


def test_pathsend_with_trailers(client: Client, large: Path) -> None:
    """S10: a file with trailers behind it is one chunk."""
    response = client.get(f"/path?{large}&trailers")
    assert (response.framing, response.body) == ("chunked", large.read_bytes())
    assert response.trailers == [(b"x-sum", b"1")]


def test_pathsend_of_an_empty_file(client: Client, tmp_path: Path) -> None:
    """S10: an empty file is an empty body."""
    (tmp_path / "empty").touch()
    assert client.get(f"/path?{tmp_path / 'empty'}").body == b""
    assert client.get(f"/path?{tmp_path / 'empty'}&trailers").body == b""
    assert client.get("/").body == b"hello"


def test_pathsend_cut_at_the_length(client: Client, large: Path) -> None:
    """S10: no more of a file than the declared length; then the connection is closed."""
    assert client.get(f"/path?{large}&300").body == large.read_bytes()[:300]
    assert client.is_closed()


def test_pathsend_shorter_than_the_length(client: Client, large: Path) -> None:
    """S10: a file that is shorter than the declared length: the client can tell."""
    with pytest.raises(Closed):
        client.get(f"/path?{large}&5120001")


@pytest.mark.parametrize("name", ["/no/such/file", "/", "/dev/null", "relative", ""])
def test_pathsend_of_what_is_no_file(host: Host, client: Client, name: str) -> None:
    """S10: what cannot be sent raises in the app, before anything has left: 500."""
    said = host.log_size()
    assert client.get(f"/path?{name}").status == 500
    assert client.get("/").body == b"hello"
    assert "the app raised in GET /path" in host.log(said)


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


# ------------------------------------------------------------- the app and its client


def test_errors_before_anything_left(host: Host, client: Client) -> None:
    """S14: an exception before the first byte is a 500, logged once; the connection goes on."""
    for where in ("before", "held", "exit"):
        said = host.log_size()
        assert client.get(f"/fail?{where}").status == 500
        assert host.log(said).count("the app raised in GET /fail") == 1
    assert client.get("/").body == b"hello"


def test_errors_in_the_body(client: Client) -> None:
    """S14: an exception in the middle of the body: what was sent arrives, and the end does not."""
    with pytest.raises(Closed) as caught:
        client.get("/fail?streaming")
    assert caught.value.rest == b""
    assert client.is_closed()


def test_errors_in_a_body_that_ends_with_the_connection(client: Client) -> None:
    """S14: where only the end of the connection tells the end of the body, it is reset."""
    client.send(b"GET /fail?streaming HTTP/1.0\r\n\r\n")
    with pytest.raises(ConnectionResetError):
        client.response()


def test_errors_behind_the_response(host: Host, client: Client) -> None:
    """S14: an exception behind the response is only logged."""
    said = host.log_size()
    assert client.get("/fail?late").body == b"fine"
    assert client.get("/").body == b"hello"
    assert "failed late" in host.log(said)


def test_silence(host: Host, client: Client) -> None:
    """S14: an app that returns without a response, or in the middle of one, is an error."""
    assert client.get("/silent").status == 500
    said = host.log_size()
    with pytest.raises(Closed):
        client.get("/silent?begun")
    assert "with its response unfinished" in host.log(said)


def test_disconnect_is_told(host: Host, client: Client) -> None:
    """S12: a client that resets: receive() gives http.disconnect, send() raises OSError."""
    client.send(request("/watch?reset"))
    eventually(lambda: event(host, "reset") == "waits")
    client.reset()
    eventually(lambda: "waits" not in (event(host, "reset") or "waits"))
    told = "http.request,http.disconnect then OSError(ClientDisconnected)"
    assert event(host, "reset") == told


def test_closing_is_told(host: Host, client: Client) -> None:
    """S12: a client that closes: receive() gives http.disconnect within a few seconds."""
    client.send(request("/watch?close"))
    eventually(lambda: event(host, "close") == "waits")
    client.sock.close()
    eventually(lambda: "http.disconnect" in (event(host, "close") or ""))


def test_disconnect_while_sending(host: Host, client: Client) -> None:
    """S12: send() raises OSError when the client has left in the middle of the response."""
    client.send(request("/pour?left"))
    eventually(lambda: (event(host, "left") or "").startswith("sent"))
    client.reset()
    eventually(lambda: (event(host, "left") or "").startswith("OSError"))


def test_leaving_is_no_error_of_the_app(host: Host, client: Client) -> None:
    """S12: where an app lets the OSError pass, that is not logged as its error."""
    said = host.log_size()
    client.send(request("/pour?quiet"))
    eventually(lambda: (event(host, "quiet") or "").startswith("sent"))
    client.reset()
    eventually(lambda: (event(host, "quiet") or "").startswith("OSError"))
    assert "Traceback" not in host.log(said)


def test_disconnect_in_the_body(host: Host, client: Client) -> None:
    """S12: a client that leaves in the middle of its body: http.disconnect, not an end."""
    client.send(request("/watch?upload", "Content-Length: 10", method="POST") + b"12345")
    eventually(lambda: event(host, "upload") == "waits")
    client.sock.close()
    eventually(lambda: "http.disconnect" in (event(host, "upload") or ""))
    assert (event(host, "upload") or "").startswith("http.request,http.disconnect")


def test_send_waits_for_a_slow_client(host: Host, client: Client) -> None:
    """S12: send() waits while the client does not read, and at most 64 KiB wait for it."""
    client.send(request("/pour?slow"))
    eventually(lambda: (event(host, "slow") or "").startswith("sent"))
    first = eventually_still(host, "slow")
    assert eventually_still(host, "slow") == first
    count = int(first.removeprefix("sent "))
    got = 0
    while got < (count + 4) * 65536:
        got += len(client.sock.recv(1 << 20))
    eventually(lambda: event(host, "slow") != first)


def eventually_still(host: Host, name: str) -> str:
    """The event when it has stopped to change."""
    seen: list[str | None] = [None]

    def unchanged() -> bool:
        seen.append(event(host, name))
        return seen[-1] == seen[-2]

    eventually(unchanged, pause=0.2)
    return seen[-1] or ""


def test_receive_behind_the_response(host: Host, client: Client) -> None:
    """S12: behind the response, receive() gives http.disconnect."""
    assert client.get("/after_body").body == b"done"
    eventually(lambda: event(host, "after_body") == "http.disconnect")


def test_half_closed_client_gets_its_answer(client: Client) -> None:
    """S12: a client that sends FIN behind its requests still gets its answers, then FIN."""
    client.send(request("/sleep?0.2") + request("/"))
    client.end_sending()
    assert [response.body for response in client.responses()] == [b"slept", b"hello"]


def test_half_closed_client_gets_a_long_stream(client: Client) -> None:
    """S12: as long as it takes what is sent, a half-closed client is not said to have left."""
    client.send(request("/drip?45"))
    client.end_sending()
    assert client.response().body == b"." * 45


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
        "asgi": {"version": "3.0", "spec_version": "2.5"},
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


def test_state_is_a_copy(client: Client) -> None:
    """S13: each request gets a shallow copy of the lifespan's state."""
    first = json.loads(client.get("/state").body)
    second = json.loads(client.get("/state").body)
    assert first[0] == second[0] == ["shared", "started"]
    assert second[1] == first[1] + 1


# ------------------------------------------------------------- bodies that nobody reads


def test_unread_body_is_taken_out_of_the_way(client: Client) -> None:
    """S3: a body that the app did not read is never read as a request; the connection goes on."""
    smuggled = request("/smuggled")
    for body in (smuggled, smuggled * 100):
        client.send(request("/ignore", method="POST", body=body))
        assert client.response().body == b"ignored"
    client.send(request("/ignore", "Transfer-Encoding: chunked", method="POST"))
    client.send(chunked(smuggled, smuggled))
    assert client.response().body == b"ignored"
    assert client.get("/").body == b"hello"


def test_unread_body_in_pieces(client: Client) -> None:
    """S3: the same where the body comes after the answer."""
    client.send(request("/ignore", "Content-Length: 3000", method="POST"))
    assert client.response().body == b"ignored"
    for _ in range(3):
        client.send(b"GET /smuggled HTTP/1.1\r\n\r\n".ljust(1000, b" "))
    assert client.get("/").body == b"hello"


def test_large_unread_body_closes(client: Client) -> None:
    """S3: more than 64 KiB are not read; the client gets its answer though it is still sending."""
    size = 50_000_000
    client.send(request("/ignore", f"Content-Length: {size}", method="POST"))
    client.send_pieces(b"x" * 65536 for _ in range(size // 65536))
    response = client.response()
    assert (response.body, response.closes) == (b"ignored", True)


def test_endless_unread_chunks_close(client: Client) -> None:
    """S3: a chunked body of unknown length that nobody reads is read for 64 KiB, no more."""
    client.send(request("/ignore", "Transfer-Encoding: chunked", method="POST"))
    stopped = not client.send_pieces(b"1000\r\n" + b"x" * 4096 + b"\r\n" for _ in range(20_000))
    assert client.response().body == b"ignored"
    assert stopped or client.is_closed()
