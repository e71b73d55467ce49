"""One suite over every WSGI host, each started for real: an ASGI app behind it keeps its promises.

What a host cannot do (see `WsgiHost`) is stated there, and tested as far as it goes.
"""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import StartHost
from tests.contract.asgi_on_wsgi.hosts import WsgiHost, all_hosts, why_no_mod_wsgi
from tests.support.hosts import Host

#: No request takes longer, in seconds.
LIMIT = 60.0

_numbers = itertools.count()

HOSTS = {each.name: each for each in all_hosts()}


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to one host, each on a connection of its own."""

    def __init__(self, host: Host, traits: WsgiHost, folder: Path) -> None:
        self.host, self.traits, self.folder = host, traits, folder

    def __call__(
        self, path: str, method: str = "GET", body: Any = None, headers: Any = None
    ) -> Answer:
        connection, response = self.open(path, method, body, headers)
        try:
            data, whole = response.read(), True
        except http.client.IncompleteRead as error:
            data, whole = error.partial, False
        finally:
            connection.close()
        return Answer(response.status, response.getheaders(), data, whole)

    def open(
        self, path: str, method: str = "GET", body: Any = None, headers: Any = None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.host.address, self.host.port, timeout=LIMIT)
        connection.request(method, path, body, headers or {})
        return connection, connection.getresponse()

    def note(self) -> Path:
        """A new path for the app to write to; any user may."""
        return self.folder / f"note-{next(_numbers)}"

    def read_note(self, note: Path) -> str:
        until(note.exists)
        return note.read_text()


def until(true: Callable[[], bool]) -> None:
    """Wait until `true()`, at most `LIMIT` s."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder in which Apache's user, too, may write."""
    with tempfile.TemporaryDirectory(prefix="bridge-notes-") as name:
        os.chmod(name, 0o777)
        yield Path(name)


@pytest.fixture(params=list(HOSTS))
def client(request: pytest.FixtureRequest, shared_host: StartHost, folder: Path) -> Client:
    if request.param == "mod_wsgi" and (why := why_no_mod_wsgi()):
        pytest.skip(why)
    traits = HOSTS[request.param]
    return Client(shared_host(traits.command), traits, folder)


# ------------------------------------------------------------- scope


def test_scope(client: Client) -> None:
    """A1 A2 A3 A24: the scope has every key, whatever the host makes of the request."""
    scope = client("/scope?a=%20b&c=d", headers={"X-Odd": "a, b", "Cookie": "a=1; b=2"}).json
    assert scope["type"] == "http"
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert scope["http_version"] == "1.1"
    assert (scope["method"], scope["scheme"]) == ("GET", "http")
    assert (scope["path"], scope["root_path"]) == ("/scope", "")
    assert scope["query_string"] == "a=%20b&c=d"
    assert scope["client"][0] == "127.0.0.1"
    assert scope["server"][1] == client.host.port
    headers = dict(scope["headers"])
    assert headers["x-odd"] == "a, b"
    assert headers["cookie"] == "a=1; b=2"
    assert "wsgi.environ" in scope["extensions"]
    assert set(scope["extensions"]) <= {
        "wsgi.environ",
        "http.response.early_hint",
        "http.response.pathsend",
    }


@pytest.mark.parametrize("path", ["/%C3%BC", "/a%20b", "/%FF"])
def test_paths(client: Client, path: str) -> None:
    """A1 A2: a path of any bytes reaches the app, which answers 404 here; never a 500."""
    assert client(path).status == 404


def test_query_of_raw_bytes(client: Client) -> None:
    """A2: raw bytes in the query string are the app's, or a 400 of the host; never a 500."""
    with client.host.connect() as raw:
        host = f"127.0.0.1:{client.host.port}".encode()
        raw.sendall(b"GET /scope?\xff\xfe HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % host)
        head = raw.makefile("rb").read()
    assert head.split(b" ", 2)[1] in (b"200", b"400")


# ------------------------------------------------------------- the request's body


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 3_000_000])
def test_upload(client: Client, size: int) -> None:
    """A10: a body with Content-Length arrives whole, in pieces of at most 64 KiB."""
    data = os.urandom(size)
    told = client("/digest", "POST", data).json
    assert told["sha256"] == hashlib.sha256(data).hexdigest()
    assert told["largest"] <= 65536


def test_chunked_upload(client: Client) -> None:
    """A10: a chunked body arrives whole where the host says that its input ends by itself."""
    data = os.urandom(300_000)
    pieces = (data[at : at + 7000] for at in range(0, len(data), 7000))
    if not client.traits.chunked:
        pytest.skip(f"{client.host.name} takes no chunked uploads")
    told = client("/digest", "POST", pieces).json
    assert told["sha256"] == hashlib.sha256(data).hexdigest()


def test_cut_off_upload(client: Client) -> None:
    """A11: an upload that ends early is http.disconnect, or never reaches the app; no hang."""
    note = client.note()
    with client.host.connect() as raw:
        head = f"POST /digest?note={note} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
        raw.sendall(head.encode() + b"x" * 50_000)
        raw.shutdown(1)
        raw.settimeout(LIMIT)
        try:
            while raw.recv(65536):
                pass
        except ConnectionError:
            pass
    assert client("/hello").status == 200
    if client.host.name not in ("waitress",):  # which reads the whole body before it calls the app
        assert client.read_note(note) == "cut off"


def test_unread_upload(client: Client) -> None:
    """A10: an app that does not read its body answers all the same, and the host goes on."""
    try:
        assert client("/unread", "POST", b"x" * 10_000).body == b"not interested"
    except ConnectionError:  # the host closes at once: the client may not get to the answer
        pass
    assert client("/hello").status == 200


def test_receive_after_the_body(client: Client) -> None:
    """A12: after the body receive() waits, until the response is over."""
    note = client.note()
    assert client(f"/wait-for-disconnect?note={note}", "POST", b"x").body == b"it waited"
    assert client.read_note(note) == "http.disconnect"


# ------------------------------------------------------------- the response


def test_simple(client: Client) -> None:
    """A20: a simple response, with its length."""
    answer = client("/hello")
    assert (answer.status, answer.body) == (200, b"Hello, world!")
    assert answer.values("content-length") == ["13"]
    assert answer.values("content-type") == ["text/plain"]


def test_pieces(client: Client) -> None:
    """A20: a streamed response arrives whole and in order."""
    assert client("/pieces").body == b"".join(b"%02d," % n * 1000 for n in range(20))


def test_streams(client: Client) -> None:
    """A20: a piece leaves when it is produced: the client has it before there is a second one."""
    note = client.note()
    connection, response = client.open(f"/in-steps?note={note}")
    assert response.read(5) == b"first"
    note.touch()
    assert response.read() == b"second"
    connection.close()


def test_head_leaves_first(client: Client) -> None:
    """A20: the head leaves before the body is there, on hosts that let it."""
    note = client.note()
    if not client.traits.sends_head_first:
        pytest.skip(f"{client.host.name} sends the head with the first piece of body")
    connection, response = client.open(f"/head-first?note={note}")
    assert response.status == 200
    note.touch()
    assert response.read() == b"late"
    connection.close()


def test_headers(client: Client) -> None:
    """A25: repeated Set-Cookie are kept in order; hop-by-hop fields of the app are left out."""
    answer = client("/headers")
    assert answer.values("set-cookie") == ["a=1", "b=2"]
    assert answer.values("x-latin") == ["ü"]
    assert "upgrade" not in answer.values("connection")
    assert "identity" not in answer.values("transfer-encoding")


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(client: Client, status: int) -> None:
    """A25: 204 and 304 carry no body."""
    answer = client(f"/no-body?status={status}")
    assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize("path", ["/hello", "/pieces"])
def test_head(client: Client, path: str) -> None:
    """A25: HEAD carries no body, from a simple and from a streaming app."""
    with client.host.connect() as raw:
        raw.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, rest = raw.makefile("rb").read().partition(b"\r\n\r\n")
    assert b" 200 " in head.splitlines()[0]
    may_end_chunks = client.traits.chunks_head and path == "/pieces"
    assert rest == b"" or (may_end_chunks and rest == b"0\r\n\r\n")


def test_early_hints(client: Client) -> None:
    """A24: early hints reach the client where the host offers them, and are not offered else."""
    with client.host.connect() as raw:
        raw.sendall(b"GET /hint HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = raw.makefile("rb").read()
    if answer.endswith(b"not offered"):
        assert b"103" not in answer
    else:
        assert answer.startswith(b"HTTP/1.1 103 ")
        assert b"</style.css>; rel=preload" in answer
        assert answer.endswith(b"hinted")


def test_pathsend(client: Client) -> None:
    """A24: a file is sent by the host's own wsgi.file_wrapper, where it has one."""
    file = client.folder / "file"
    file.write_bytes(os.urandom(200_000))
    file.chmod(0o644)
    answer = client(f"/file?path={quote(str(file))}")
    assert answer.body in (file.read_bytes(), b"not offered")
    assert answer.status == 200


def test_pathsend_of_a_fifo(client: Client) -> None:
    """A24: what is no regular file is an error in the app, and stops no process."""
    (client.folder / "fifo").unlink(missing_ok=True)
    os.mkfifo(client.folder / "fifo")
    answer = client(f"/fifo?path={quote(str(client.folder / 'fifo'))}")
    assert answer.body in (b"OSError", b"not offered")
    assert client("/hello").status == 200


# ------------------------------------------------------------- misbehaviour, under a time limit


@pytest.mark.parametrize(
    "path", ["/raise", "/raise-late", "/return", "/return-late", "/system-exit"]
)
def test_nothing_has_left(client: Client, path: str) -> None:
    """A22 A23: an app that fails or returns before a byte has left is a 500; the host goes on."""
    answer = client(path)
    assert answer.status == 500
    assert b"raised" not in answer.body
    assert client("/hello").status == 200


@pytest.mark.parametrize("path", ["/raise", "/raise-late", "/raise-in-body", "/return-in-body"])
def test_errors_are_logged(client: Client, path: str) -> None:
    """A23: what an app raised stands in the host's log, or in ours."""
    before = client.host.log_size()
    client(path)
    words = "raised" if path.startswith("/raise") else "returned before its response was over"
    until(lambda: words in client.host.log(before))


@pytest.mark.parametrize("path", ["/raise-in-body", "/return-in-body"])
def test_cut_off(client: Client, path: str) -> None:
    """A22 A23: a response that was not finished never looks whole, where the framing can tell."""
    answer = client(path)
    assert answer.body == b"half"
    assert answer.whole is not client.traits.tells_cut_off


def test_too_much(client: Client) -> None:
    """A21: more body than Content-Length says does not reach the client."""
    assert client("/too-much").body in (b"abc", b"")
    assert client("/hello").status == 200


def test_after_the_end(client: Client) -> None:
    """A21: sending after the end raises in the app; the client has its whole response."""
    note = client.note()
    assert client(f"/after-the-end?note={note}").body == b"the end"
    assert client.read_note(note) == "IllegalMessage"


def test_never_answering(client: Client) -> None:
    """A22: an app that never answers is a 504 after the time limit."""
    assert client("/never").status == 504
    assert client("/hello").status == 200


def test_blocking_the_loop(client: Client) -> None:
    """A22: an app that blocks the loop is a 504 too, and the others are served after it."""
    assert client("/block").status == 504
    until(lambda: client("/hello").status == 200)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/endless", "ClientDisconnected, http.disconnect"),
        ("/swallow", "ended at last"),
        ("/spin", "cancelled"),
    ],
)
def test_client_leaves(client: Client, path: str, words: str) -> None:
    """A26: a client that leaves in mid-response ends the app, however it behaves."""
    if client.host.name == "cgi" and path != "/endless":
        pytest.skip("the process ends with its one request, and its tasks with it")
    note = client.note()
    connection, response = client.open(f"{path}?note={note}")
    response.read(1)
    connection.close()
    response.close()
    assert client.read_note(note) == words
    assert client("/hello").status == 200


def test_client_leaves_a_silent_app(client: Client) -> None:
    """A12: an app that only waits hears that its client is gone, where the host lets us see it."""
    if not client.traits.tells_disconnect:
        pytest.skip(f"{client.host.name} does not tell before something is sent")
    note = client.note()
    connection, response = client.open(f"/silent?note={note}")
    assert response.read(1) == b"x"
    connection.close()
    response.close()
    assert client.read_note(note) == "http.disconnect"


# ------------------------------------------------------------- running


def test_state(client: Client) -> None:
    """A31: the app was started before its first request, once, and its state is in the scope."""
    first, second = (client("/scope").json["state"] for _ in range(2))
    assert first["startups"] == second["startups"] == 1
    assert (first["pid"] == second["pid"]) is client.traits.persistent


def test_background(client: Client) -> None:
    """A27: work after the response goes on while the host's thread serves the next request."""
    if not client.traits.persistent:
        pytest.skip("a CGI process ends with its request, and finishes such work first")
    note = client.note()
    assert client(f"/background?note={note}").body == b"accepted"
    assert client("/hello").status == 200
    Path(f"{note}.go").touch()
    assert client.read_note(note) == "done in the background"


def test_at_the_same_time(client: Client) -> None:
    """A30 A33: requests that wait for each other are served at the same time, on one loop."""
    if not client.traits.parallel:
        pytest.skip(f"{client.host.name} serves one request at a time")
    notes = [client.note() for _ in range(4)]
    opened = [client.open(f"/in-steps?note={note}") for note in notes]
    for _, response in opened:
        assert response.read(5) == b"first"
    for note, (connection, response) in zip(notes, opened, strict=True):
        note.touch()
        assert response.read() == b"second"
        connection.close()
