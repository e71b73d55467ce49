"""The environ as an app sees it, over the wire."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from bridge.runners import Stats
from tests.conftest import StartHost
from tests.contract.wsgi.conftest import RUNNERS, WAYS
from tests.support import raw
from tests.support.hosts import Host


def environ(client: raw.Client, target: str = "/", *fields: str, **request: Any) -> dict[str, Any]:
    """The environ of this request."""
    client.send(raw.request(target, *fields, **request))
    told: dict[str, Any] = json.loads(client.response().body)
    return told


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_request_line(client: raw.Client, method: str) -> None:
    """W1, W4: method, path, query and target are those of the request."""
    told = environ(client, "/a%2Fb%20c?x=%31&y=/", method=method)
    assert told["REQUEST_METHOD"] == method
    assert told["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert told["QUERY_STRING"] == "x=%31&y=/"
    assert told["PATH_INFO"] == "/a/b c"
    assert told["SCRIPT_NAME"] == ""
    assert told["RAW_URI"] == told["REQUEST_URI"] == "/a%2Fb%20c?x=%31&y=/"


def test_path_bytes(client: raw.Client) -> None:
    """W2: the path's bytes arrive, UTF-8 or not."""
    assert environ(client, "/caf%C3%A9")["PATH_INFO"] == "/caf\xc3\xa9"
    assert environ(client, "/caf%E9/%FF")["PATH_INFO"] == "/caf\xe9/\xff"


def test_nothing_of_the_process(client: raw.Client) -> None:
    """W5: the environ has nothing of the process environment."""
    told = environ(client)
    assert "PATH" in os.environ
    assert not {"PATH", "HOME", "PYTHONPATH", "PWD"} & told.keys()


def test_addresses(client: raw.Client, host: Host) -> None:
    """W6, W7: names, addresses and ports are text, and right."""
    told = environ(client)
    assert (told["SERVER_NAME"], told["SERVER_PORT"]) == (host.address, str(host.port))
    assert told["REMOTE_ADDR"] == host.address
    assert told["REMOTE_PORT"] == str(client.sock.getsockname()[1])
    assert told["HTTP_HOST"] == "test"


def test_fields(client: raw.Client) -> None:
    """W8: fields have their keys; repeated ones are joined; what could pose as another goes."""
    told = environ(
        client,
        "/",
        "Content-Type: text/plain",
        "X-Text: caf\xe9",
        "Accept: text/html",
        "ACCEPT: text/plain",
        "Cookie: a=1",
        "Cookie: b=2",
        "X_Forwarded_For: evil",
        "Proxy: http://evil",
        method="POST",
        body=b"abc",
    )
    assert told["CONTENT_TYPE"] == "text/plain"
    assert told["CONTENT_LENGTH"] == "3"
    assert told["HTTP_X_TEXT"] == "caf\xe9"
    assert told["HTTP_ACCEPT"] == "text/html,text/plain"
    assert told["HTTP_COOKIE"] == "a=1; b=2"
    assert not {"HTTP_X_FORWARDED_FOR", "HTTP_PROXY", "HTTP_CONTENT_LENGTH"} & told.keys()


def test_unequal_content_lengths(client: raw.Client) -> None:
    """W8: two Content-Lengths that differ are a 400."""
    client.send(raw.request("/echo", "Content-Length: 3", "Content-Length: 4", method="POST"))
    assert client.response().status == 400


def test_wsgi_keys(client: raw.Client, way: str) -> None:
    """W9, W10, W52: the wsgi.* keys tell the truth; scope, disconnected and stats are there."""
    told = environ(client, "/x?y")
    assert told["version"] == [1, 0]
    assert told["wsgi.url_scheme"] == "http"
    assert told["threads"][0] is not way.endswith("inline")
    assert told["run_once"] is False
    assert told["terminated"] is True
    assert told["file_wrapper"] is True
    assert told["disconnected"] is False
    assert told["scope"] == ["http", "GET", "/x"]
    assert len(told["stats"]) == len(Stats._fields)


def test_errors_stream(client: raw.Client, host: Host) -> None:
    """W9: wsgi.errors is the server's stderr."""
    said = host.log_size()
    environ(client)
    assert "written to wsgi.errors" in host.log(said)


@pytest.mark.parametrize("served", [*WAYS, *RUNNERS])
def test_root_path(served: str, start_host: StartHost) -> None:
    """W3: --root-path is cut off at a segment's end; other paths are passed on whole."""
    command = RUNNERS[served]() if served in RUNNERS else WAYS[served]("asgi")
    uvicorn = served.startswith("uvicorn")
    argv = (*command.argv, "--root-path=/sub")
    host = start_host(type(command)(command.name, argv))
    with raw.Client(host.connect()) as client:
        # uvicorn puts the root path before every path; our server is given whole paths.
        told = environ(client, "/x" if uvicorn else "/sub/x")
        assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/sub", "/x")
        if not uvicorn:
            for path in ("/subway", "/x", "/"):
                told = environ(client, path)
                assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/sub", path)
            told = environ(client, "/sub")
            assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("/sub", "")
