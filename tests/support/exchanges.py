"""What is said to every app on every host, and what is heard.

All the example apps have the same routes, so one table of exchanges serves them. An exchange
talks over one connection, says what must be true of the answers wherever the app runs, and gives
them back to be compared between hosts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from operator import itemgetter
from typing import Any, TypeAlias

#: Fields of the host, not of the app: who answered and when, and how the message is framed on
#: this one connection (RFC 9110 §7.6.1). All others are the app's, and must not differ.
OF_THE_HOST = frozenset(
    {"date", "server", "connection", "keep-alive", "transfer-encoding", "content-length"}
)


@dataclass
class Answer:
    """One response; `fields` has the app's own, names in lower case.

    They are sorted by name, as order means nothing between different names (RFC 9110 §5.3) and
    some hosts sort them; fields of one name keep their order.
    The reason phrase does not count in comparisons: ASGI has no place for it. Nor does
    `length`, the Content-Length, if one host fills it in and another cuts into chunks.
    """

    status: int
    reason: str = field(compare=False)
    length: int | None = field(compare=False)
    fields: list[tuple[str, str]]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def assert_same(answers: list[Answer], expected: list[Answer]) -> None:
    """The same status, fields and bodies; lengths too, except as `Answer` says."""
    assert answers == expected
    for answer, other in zip(answers, expected, strict=True):
        if None in (answer.length, other.length):
            assert {answer.length, other.length} <= {None, len(answer.body)}
        else:
            assert answer.length == other.length


class _Connection(HTTPConnection):
    """Sends each request in one piece.

    A host may answer early, and close, or even reset, if it still waits for the body.
    """

    def __init__(self, address: str, port: int) -> None:
        super().__init__(address, port, timeout=30)
        self._held: list[bytes] = []

    def send(self, data: Any) -> None:
        self._held.append(data)

    def getresponse(self) -> HTTPResponse:
        request = b"".join(self._held)
        self._held.clear()
        super().send(request)
        return super().getresponse()


class Client:
    """One keep-alive connection; opened again, as browsers do, if the host has closed it."""

    def __init__(self, address: str, port: int, name: str = "example.com") -> None:
        self._connection = _Connection(address, port)
        self._name = name  # not the host's own, with its port: apps may echo it
        #: How often the host had closed it without a word.
        self.reopened = 0

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Send one request, with its body in chunks if it is not bytes, and read the answer."""
        used = self._connection.sock is not None
        try:
            return self._ask(method, path, body, headers)
        except ConnectionError:  # closed by the host in between, which HTTP allows
            if not used:
                raise
        self.reopened += 1
        self.close()
        return self._ask(method, path, body, headers)

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | Sequence[bytes] | None,
        headers: Sequence[tuple[str, str]],
    ) -> Answer:
        connection = self._connection
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", self._name)
        for name, value in headers:
            connection.putheader(name, value)
        chunked = body is not None and not isinstance(body, bytes)
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
        elif chunked:
            connection.putheader("Transfer-Encoding", "chunked")
        connection.endheaders(body, encode_chunked=chunked)
        return _read(connection.getresponse())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _read(response: HTTPResponse) -> Answer:
    fields = [(name.lower(), value) for name, value in response.getheaders()]
    own = sorted((pair for pair in fields if pair[0] not in OF_THE_HOST), key=itemgetter(0))
    lengths = [int(value) for name, value in fields if name == "content-length"]
    assert len(lengths) <= 1
    length = lengths[0] if lengths else None
    return Answer(response.status, response.reason, length, own, response.read())


# ------------------------------------------------------------- the exchanges


Exchange: TypeAlias = Callable[[Client], list[Answer]]
EXCHANGES: dict[str, Exchange] = {}


def exchange(talk: Exchange) -> Exchange:
    """Put an exchange into the table, by its name."""
    EXCHANGES[talk.__name__] = talk
    return talk


def pieces(size: int) -> Iterator[bytes]:
    """`size` bytes that are not all the same, in pieces of uneven length."""
    made = 0
    while made < size:
        piece = (b"%09d," % made * 2_000)[: min(16_384 + made % 1_000, size - made)]
        made += len(piece)
        yield piece


def whole(size: int) -> bytes:
    """The same in one."""
    return b"".join(pieces(size))


def told(body: bytes) -> dict[str, Any]:
    """What the apps tell of a body."""
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def multipart(filename: str, content: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """A form with a field `title` and a file `file`: its body and header fields."""
    head = (
        '--cut\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n'
        f'--cut\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + content + b"\r\n--cut--\r\n", [
        ("Content-Type", "multipart/form-data; boundary=cut")
    ]


FORM = [("Content-Type", "application/x-www-form-urlencoded")]
JSON = [("Content-Type", "application/json")]


@exchange
def get_and_head(client: Client) -> list[Answer]:
    """GET, HEAD, GET: the fields agree, HEAD has no body, the connection is in step after it."""
    got, head, again = (client.ask(method, "/redirect") for method in ("GET", "HEAD", "GET"))
    assert (got.fields, got.body) == (again.fields, again.body)
    assert head.body == b""
    page = client.ask("GET", "/cookies", None, COOKIES)
    assert page.status == 200
    return [got, head, again, page]


@exchange
def form_post(client: Client) -> list[Answer]:
    """A form with a repeated and a non-ASCII field."""
    answer = client.ask("POST", "/form", b"name=a&name=%C3%A9+%26&language=sv", FORM)
    assert answer.status == 200
    assert answer.json() == {"language": ["sv"], "name": ["a", "é &"]}
    return [answer]


@exchange
def json_post(client: Client) -> list[Answer]:
    """JSON, larger than one read of a socket."""
    item = {"name": "å", "tags": ["x" * 10] * 20_000}
    answer = client.ask("POST", "/json", json.dumps(item).encode(), JSON)
    assert answer.status == 200
    assert answer.json() == {"received": item}
    return [answer]


@exchange
def multipart_upload(client: Client) -> list[Answer]:
    """20 MB in a multipart form."""
    content = whole(20_000_000)
    answer = client.ask("POST", "/upload", *multipart("big.bin", content))
    assert answer.status == 200, answer.body[:300]
    file = {"filename": "big.bin", **told(content)}
    assert answer.json() == {"files": {"file": file}, "fields": {"title": "A title"}}
    return [answer]


@exchange
def sized_upload(client: Client) -> list[Answer]:
    """A bare body of known length."""
    answer = client.ask("POST", "/raw", whole(300_000))
    assert answer.json() == told(whole(300_000))
    return [answer]


@exchange
def chunked_upload(client: Client) -> list[Answer]:
    """A bare body of unknown length, then another request on the connection."""
    answer = client.ask("POST", "/raw", list(pieces(1_000_000)))
    assert answer.json() == told(whole(1_000_000))
    small = client.ask("POST", "/raw", [b"x"])
    assert small.json() == told(b"x")
    return [answer, small]


@exchange
def streaming_download(client: Client) -> list[Answer]:
    """5 MB made while they are sent, and none."""
    answer, empty = (client.ask("GET", f"/download?size={size}") for size in (5_000_000, 0))
    expected = b"".join(b"%09d\n" % start * 1_000 for start in range(0, 5_000_000, 10_000))
    assert told(answer.body) == told(expected)
    assert (empty.status, empty.body) == (200, b"")
    return [answer, empty]


COOKIES = [("Cookie", "a=1; b=two")]


@exchange
def cookies(client: Client) -> list[Answer]:
    """Two come, two are set, each in a field of its own."""
    answer = client.ask("GET", "/cookies", None, COOKIES)
    assert answer.json() == {"a": "1", "b": "two"}
    names = [value.split("=")[0] for name, value in answer.fields if name == "set-cookie"]
    assert names == ["first", "second"]
    return [answer]


@exchange
def redirect(client: Client) -> list[Answer]:
    """302 with its Location as the app gave it."""
    answer = client.ask("GET", "/redirect")
    assert answer.status == 302
    assert dict(answer.fields)["location"] == "/"
    return [answer]


@exchange
def not_found(client: Client) -> list[Answer]:
    """404 and 405 are the app's own, whatever the path has in it."""
    paths = ["/nowhere", "/n%C3%A9ant", "/%FF%FE", "//double", "/a%2Fb?x=%2F"]
    answers = [client.ask("GET", path) for path in paths]
    assert {answer.status for answer in answers} == {404}
    wrong_method = client.ask("GET", "/form")
    assert wrong_method.status == 405
    return [*answers, wrong_method]


@exchange
def app_error(client: Client) -> list[Answer]:
    """An exception in a view is the framework's 500; the next request is none the worse."""
    answer = client.ask("GET", "/error")
    after = client.ask("GET", "/redirect")
    assert (answer.status, after.status) == (500, 302)
    return [answer, after]


@exchange
def unread_body(client: Client) -> list[Answer]:
    """What an app leaves unread, sized or in chunks, is not taken for the next request."""
    evil = b"GET /error HTTP/1.1\r\nHost: example.com\r\n\r\n"
    answers = [
        client.ask("POST", "/unread", evil),
        client.ask("POST", "/unread", evil * 1_000),
        client.ask("POST", "/unread", [evil, evil]),
        client.ask("GET", "/redirect"),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 302]
    assert [answer.body for answer in answers[:3]] == [b"not read\n"] * 3
    return answers
