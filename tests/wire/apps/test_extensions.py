"""What the ASGI extensions send: trailers, early hints, files (S10)."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from tests.conftest import StartHost
from tests.support.apps.starlette_files import CONTENT
from tests.support.hosts import BRIDGE_WORKER, Host, bridge, gunicorn
from tests.support.raw import Client, Closed, request

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


@pytest.mark.parametrize("how", ["fifo", "link"])
def test_pathsend_of_a_fifo(host: Host, client: Client, tmp_path: Path, how: str) -> None:
    """S10: a FIFO stops nobody: an error in the app, and the server goes on."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    assert client.get(f"/path?{tmp_path / how}").status == 500
    assert client.get("/").body == b"hello"


def test_pathsend_of_a_link(client: Client, large: Path, tmp_path: Path) -> None:
    """S10: a link to a regular file is followed."""
    (tmp_path / "link").symlink_to(large)
    assert client.get(f"/path?{tmp_path / 'link'}").body == large.read_bytes()


@pytest.mark.parametrize("name", ["/no/such/file", "/", "/dev/null", "relative", ""])
def test_pathsend_of_what_is_no_file(host: Host, client: Client, name: str) -> None:
    """S10: what cannot be sent raises in the app, before anything has left: 500."""
    said = host.log_size()
    assert client.get(f"/path?{name}").status == 500
    assert client.get("/").body == b"hello"
    assert "the app raised in GET /path" in host.log(said)


# ------------------------------------------------------------- pathsend and middlewares

FILES = "tests.support.apps.starlette_files"


@pytest.mark.parametrize("middleware", ["gather", "audit", "compress", "plain"])
@pytest.mark.parametrize("way", ["bridge", "mounted", "worker", "wsgi"])
def test_files_behind_a_middleware(shared_host: StartHost, way: str, middleware: str) -> None:
    """S10 A24: a middleware that gathers, reads or compresses bodies sees those of files, too."""
    command = {
        "bridge": bridge(f"{FILES}:{middleware}"),
        "mounted": bridge("--mount", f"/files={FILES}:{middleware}"),
        "worker": gunicorn(f"{FILES}:{middleware}", worker=BRIDGE_WORKER),
        "wsgi": gunicorn(f"{FILES}:wsgi_{middleware}"),
    }[way]
    host = shared_host(command)
    with Client(host.connect()) as client:
        prefix = "/files" if way == "mounted" else ""
        answer = client.get(prefix + "/absolute", "Accept-Encoding: gzip")
    assert answer.status == 200
    packed = middleware == "compress"
    assert (gzip.decompress(answer.body) if packed else answer.body) == CONTENT


@pytest.mark.parametrize("option", ["--pathsend", "--no-pathsend"])
def test_a_file_response_with_a_relative_path(shared_host: StartHost, option: str) -> None:
    """S10: Starlette passes on the path that its user wrote."""
    host = shared_host(bridge(f"{FILES}:plain", option))
    with Client(host.connect()) as client:
        assert client.get("/relative").body == CONTENT


def test_pathsend_that_is_not_offered(shared_host: StartHost) -> None:
    """S10: who sends it all the same is told how it would be."""
    host = shared_host(bridge("tests.support.apps.http_rules:app"))
    with Client(host.connect()) as client:
        assert client.get("/path?/etc/hostname").status == 500
    assert "'http.response.pathsend' is not offered; --pathsend offers it" in host.log()
