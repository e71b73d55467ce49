"""One side of a replay."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from bridge.cutover.shadow.records import RecordedRequest, as_fields
from bridge.cutover.shadow.replay import side as module
from bridge.cutover.shadow.replay.side import Side, Unanswered
from bridge.errors import ConfigError

GET = RecordedRequest("GET", "/a", "b=1", (("host", "shop.example"),), scheme="https")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Canned:
    """A server that gives each connection the next answer, and keeps what was asked."""

    def __init__(self, listener: socket.socket, answers: list[bytes], holds: threading.Event):
        self.asked: list[str] = []
        self._listener, self._answers, self._holds = listener, answers, holds
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for answer in self._answers:
            try:
                with self._listener.accept()[0] as connection:
                    self.asked.append(connection.recv(65536).decode("latin-1"))
                    connection.sendall(answer.removesuffix(b"..."))
                    if answer.endswith(b"..."):
                        self._holds.wait(20)
            except OSError:  # the client has left, or the test has ended
                continue

    def fields(self) -> list[str]:
        """The lines of the last request's head, without the first and the empty ones."""
        return self.asked[-1].partition("\r\n\r\n")[0].split("\r\n")[1:]


@contextmanager
def canned(
    *answers: bytes,
    path: Path | None = None,
    wrap: Callable[[socket.socket], socket.socket] = lambda listener: listener,
) -> Iterator[tuple[str, Canned]]:
    """The server, and its address; an answer that ends with dots goes on for ever."""
    holds = threading.Event()
    listener = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    listener.bind(str(path) if path else ("127.0.0.1", 0))
    listener.listen()
    listener = wrap(listener)
    listener.settimeout(20)
    server = Canned(listener, list(answers), holds)
    try:
        yield (f"unix:{path}" if path else f"http://127.0.0.1:{listener.getsockname()[1]}"), server
    finally:
        holds.set()
        server.thread.join(20)
        listener.close()


def test_a_request_is_asked_and_its_response_recorded() -> None:
    """M13: a side gets what was recorded, at its own host, and its response is a record."""
    answer = b"HTTP/1.1 201 Made\r\nX-A: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nbody"
    with canned(answer) as (url, server):
        response = Side("old", url).ask(GET)
    assert (response.status, response.body, response.truncated) == (201, b"body", False)
    assert response.headers == (("x-a", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2"))
    assert server.asked[0].startswith("GET /a?b=1 HTTP/1.1\r\n")
    assert server.fields() == [f"host: {url[7:]}", "connection: close"]


def test_fields_that_belong_to_the_recording_are_not_sent() -> None:
    """M13: fields of the old connection, conditions, and lost secrets are left out."""
    fields = as_fields(
        [
            ("Host", "shop.example"),
            ("Connection", "keep-alive"),
            ("Content-Length", "5"),
            ("If-None-Match", '"x"'),
            ("Authorization", "Bearer ***"),
            ("Accept-Encoding", "gzip, br, zstd"),
            ("Accept", "caf\xe9"),
            ("Cookie", "a=1; s=***"),
        ]
    )
    with canned(OK) as (url, server):
        Side("old", url).ask(RecordedRequest("GET", "/", "", fields))
    assert server.fields()[1:] == [
        "accept-encoding: gzip, deflate", "accept: caf\xe9", "cookie: a=1", "connection: close",
    ]  # fmt: skip


def test_fields_can_be_given() -> None:
    """M13: fields of the caller's stand instead of recorded ones: so a replay logs in."""
    ours = [("Host", "shop.example"), ("Cookie", "s=2; t=3"), ("Authorization", "Basic x")]
    fields = (("cookie", "s=1; a=1"), ("authorization", "Basic y"))
    with canned(OK) as (url, server):
        Side("old", url, ours).ask(RecordedRequest("GET", "/", "", fields))
    assert server.fields() == [
        "host: shop.example", "authorization: Basic x", "cookie: s=2; t=3", "connection: close",
    ]  # fmt: skip


def test_a_body_is_sent() -> None:
    """M13: the body of an unsafe request is sent with its length, and an empty one, too."""
    with canned(OK, OK) as (url, server):
        side = Side("old", url)
        side.ask(RecordedRequest("POST", "/", "", (), b"hello"))
        side.ask(RecordedRequest("POST", "/"))
    assert "content-length: 5" in server.asked[0]
    assert "content-length: 0" in server.asked[1]


def test_cookies_come_back_if_they_are_kept() -> None:
    """M13: with `keep_cookies` a side gets the cookies that it sets, until it deletes them."""
    sets = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=1; Path=/\r\nSet-Cookie: t=2\r\n\r\n"
    deletes = b"HTTP/1.1 200 OK\r\nSet-Cookie: s=; Max-Age=0\r\nSet-Cookie: t=x; Max-Age=0\r\n\r\n"
    request = RecordedRequest("GET", "/", "", (("cookie", "s=0; a=1"),))
    with canned(sets, deletes, OK) as (url, server):
        side = Side("old", url, keep_cookies=True)
        for _ in range(3):
            side.ask(request)
    cookies = [line for asked in server.asked for line in asked.split("\r\n") if "cookie" in line]
    assert cookies == ["cookie: s=0; a=1", "cookie: s=1; a=1; t=2", "cookie: s=0; a=1"]


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("{url}/next", "https://shop.example/next"),
        ("{url}", "https://shop.example"),
        ("{url}0/next", "{url}0/next"),
        ("/next", "/next"),
    ],
)
def test_a_location_is_one_of_the_recorded_host(location: str, seen: str) -> None:
    """M13: a redirect to the side itself is one to where the request was recorded."""
    with canned() as (url, _):
        pass
    port = int(url.rpartition(":")[2])
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location.format(url=url)}\r\n\r\n".encode()
    listener = socket.create_server(("127.0.0.1", port))
    listener.settimeout(20)
    server = Canned(listener, [answer], threading.Event())
    assert Side("old", url).ask(GET).headers == (("location", seen.format(url=url)),)
    server.thread.join(20)
    listener.close()


def test_a_large_body_is_cut() -> None:
    """M13: of a response one MiB is compared; the rest is not even read."""
    body = b"x" * (module.MOST_BODY + 1)
    with canned(b"HTTP/1.1 200 OK\r\n\r\n" + body, b"HTTP/1.1 200 OK\r\n\r\n" + body[1:]) as (
        url,
        _,
    ):
        side = Side("old", url)
        cut, whole = side.ask(GET), side.ask(GET)
    assert (len(cut.body), cut.truncated) == (module.MOST_BODY, True)
    assert (len(whole.body), whole.truncated) == (module.MOST_BODY, False)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed connection without response"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab...", "no answer within 0.2 s"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "IncompleteRead"),
    ],
)
def test_a_side_that_does_not_answer_as_it_should(answer: bytes, why: str) -> None:
    """M13: an answer that does not come, or not whole, is no response."""
    with canned(answer) as (url, _):
        with pytest.raises(Unanswered, match=why) as caught:
            Side("old", url, patience=0.2 if answer.endswith(b"...") else 20).ask(GET)
    assert not caught.value.never


def test_a_side_that_is_not_there() -> None:
    """M13: that nobody listens is told apart, as long as nobody has answered."""
    with canned(OK) as (url, _):
        side = Side("old", url)
        side.ask(GET)
    with pytest.raises(Unanswered, match="refused") as caught:
        side.ask(GET)
    assert not caught.value.never
    with pytest.raises(Unanswered, match="refused") as caught:
        Side("old", url).ask(GET)
    assert caught.value.never
    with pytest.raises(Unanswered, match="No such file"):
        Side("old", "unix:/none").ask(GET)


def test_a_request_that_cannot_be_sent() -> None:
    """M13: a target or field that HTTP does not allow is told, and nothing is sent."""
    with canned(b"", b"") as (url, _):
        side = Side("old", url)
        for request in (
            RecordedRequest("GET", "/a b"),
            RecordedRequest("GET", "/", "", (("x", "a\r\nb"),)),
        ):
            with pytest.raises(Unanswered, match=r"can't contain|Invalid header"):
                side.ask(request)


def test_a_unix_socket(tmp_path: Path) -> None:
    """M13: a side may be at a Unix socket; it is asked for the recorded host."""
    with canned(OK, path=tmp_path / "socket") as (url, server):
        assert Side("new", url).ask(GET).body == b"ok"
    assert "host: shop.example" in server.fields()


def test_tls_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """M13: an https address is spoken to by TLS, with a certificate that holds."""
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with canned(
        OK, OK, wrap=lambda listener: server_side.wrap_socket(listener, server_side=True)
    ) as (url, _):
        url = url.replace("http:", "https:")
        with pytest.raises(Unanswered, match="certificate verify failed"):
            Side("new", url).ask(GET)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert Side("new", url).ask(GET).body == b"ok"


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://x:0", "http://x:99999", "http://x/path", "http://x?a=b"]
)
def test_bad_addresses_are_errors(url: str) -> None:
    """M13: what is no address of an app is an error that says what is."""
    with pytest.raises(ConfigError, match="allowed are http://host:port"):
        Side("old", url)
