"""The app and its client: who waits, who leaves, who goes wrong (S5, S12, S14)."""

from __future__ import annotations

import pytest

from tests.conftest import StartHost
from tests.support.events import event
from tests.support.hosts import Host, bridge
from tests.support.raw import Client, Closed, chunked, request
from tests.support.waiting import eventually

APP = "tests.support.apps.http_rules:app"


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


# ------------------------------------------------------------- the app and its client


def test_errors_before_anything_left(host: Host, client: Client) -> None:
    """S14: an exception before the first byte is a 500, logged once; the connection goes on."""
    for where in ("before", "held", "exit", "exit_later"):
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


@pytest.mark.parametrize("target", [APP, "tests.support.apps.wsgi_ways:app"])
def test_cut_responses_are_in_the_access_log(start_host: StartHost, target: str) -> None:
    """S50: a response that was cut has its line too, with the bytes that left."""
    host = start_host(bridge(target, "--access-log-format=%(s)s %(B)s %(U)s"))
    with Client(host.connect()) as client:
        client.send(request("/fail", "X: y") if target != APP else request("/fail?streaming"))
        client.everything()
    eventually(lambda: "200 5 /fail" in host.log())


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


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(("size", "least"), [(4000, 29), (30_000, 120), (0, 1)])
def test_a_stream_lets_others_have_their_turn(
    host: Host, client: Client, method: str, size: int, least: int
) -> None:
    """S12: an app that sends without ever waiting does not keep the loop to itself.

    Not with its bytes, nor with empty pieces, nor with those of a HEAD, which never leave.
    """
    client.send(request(f"/gush?{size}", method=method))
    client.response(method=method)
    turns = event(host, "gush")
    assert turns is not None
    assert int(turns) >= least


@pytest.mark.parametrize("size", [16_250, 16_500, 50_000, 5_000_000])
def test_a_large_body_in_one_piece(client: Client, size: int) -> None:
    """S10: a body that leaves beside its head is whole, and the next response follows it."""
    client.send(request(f"/sized?{size}") * 2 + request("/"))
    for _ in range(2):
        assert client.response().body == bytes(range(250)) * (size // 250)
    assert client.response().body == b"hello"


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
