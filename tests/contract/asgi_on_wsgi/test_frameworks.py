"""Starlette, FastAPI, Quart and Django's ASGI handler on WSGI hosts, for real."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartHost
from tests.contract.asgi_on_wsgi.frameworks import PIECES
from tests.support import hosts

LIMIT = 60.0
HOSTS = {
    "gthread": lambda target: hosts.gunicorn(target, worker="gthread"),
    "gevent": lambda target: hosts.gunicorn(target, worker="gevent"),
    "waitress": lambda target: hosts.waitress(target),
}


@pytest.fixture(params=list(HOSTS))
def host_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["starlette", "fastapi", "quart", "django"])
def framework(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_framework(host_name: str, framework: str, shared_host: StartHost, tmp_path: Path) -> None:
    """A35: forms, uploads, cookies, streams, events, background work, threads, errors, startup."""
    target = f"tests.contract.asgi_on_wsgi.frameworks:on_{framework}"
    host = shared_host(HOSTS[host_name](target))
    with httpx.Client(base_url=host.url(""), timeout=LIMIT) as client:
        assert client.get("/").text == "Hello"
        assert client.head("/").status_code in (200, 405)
        assert client.get("/nowhere").status_code == 404
        assert client.get("/state").text == "yes"

        answer = client.post("/form", data={"name": "grüße"})
        assert answer.text == "grüße"
        assert [value.partition(";")[0] for value in answer.headers.get_list("set-cookie")] == [
            "a=1",
            "b=2",
        ]
        size = 3_000_000
        assert client.post("/upload", files={"file": b"x" * size}).text == str(size)

        answer = client.get("/stream")
        assert answer.content == b"".join(PIECES)
        assert client.get("/events").content == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert client.get("/sync").text == "no loop here"

        note = tmp_path / "note"
        assert client.get("/background", params={"note": str(note)}).status_code == 200
        deadline = time.monotonic() + LIMIT
        while not note.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

        said = host.log_size()
        assert client.get("/fails").status_code == 500
        while "the view failed" not in host.log(said):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if framework == "fastapi":
            assert client.get("/").headers["x-stamp"] == "stamped"
