"""The frameworks that people use run on our server, unchanged."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Host

FRAMEWORKS = ["starlette", "fastapi", "quart", "litestar"]


@pytest.fixture(params=FRAMEWORKS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """Our server with the framework's app."""
    return shared_host(hosts.bridge(f"tests.support.apps.{request.param}_smoke:app"))


def test_requests_reach_the_framework(host: Host) -> None:
    """S13 S40: a path with a parameter, and what the app made at its startup."""
    with httpx.Client() as client:
        answer = client.get(host.url("/hello/Grüße"))
        assert answer.json() == {"hello": "Grüße", "ready": "yes"}
        assert client.head(host.url("/nowhere")).status_code == 404
        assert client.delete(host.url("/echo")).status_code == 405


def test_bodies_go_both_ways(host: Host) -> None:
    """S10 S12: uploads, sized and in chunks, and a streamed answer."""
    body = bytes(range(256)) * 4_000
    pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    with httpx.Client() as client:
        assert client.post(host.url("/echo"), content=body).content == body
        assert client.post(host.url("/echo"), content=pieces).content == body
        lines = client.get(host.url("/stream")).text.split()
    assert lines == [str(number) for number in range(100)]


def test_websockets_reach_the_framework(host: Host) -> None:
    """S20: handshake with a subprotocol, messages both ways, close; another path is refused."""
    chat = [Subprotocol("chat")]
    with connect(host.url("/ws", "ws"), subprotocols=chat, proxy=None) as socket:
        assert socket.subprotocol == "chat"
        for text in ("hello", "grüße", "x" * 100_000):
            socket.send(text)
            assert socket.recv(timeout=10) == text.upper()


def test_django_runs_as_asgi(start_host: StartHost, tmp_path: Path) -> None:
    """S13 S40: Django's ASGI handler, which knows no lifespan: ORM, static file, stream, upload."""
    database = tmp_path / "db.sqlite3"
    hosts.migrate(database)
    command = hosts.bridge("--app-dir=examples/django_on_bridge", "mysite.asgi:application")
    host = start_host(command.with_env(EXAMPLE_DATABASE=str(database)))
    with httpx.Client(base_url=host.url(""), follow_redirects=True, timeout=30) as browser:
        assert browser.get("/").status_code == 200
        form = {"text": "a note", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert "a note" in browser.post("/add", data=form).text
        assert browser.get("/notes.json").json() == {"notes": ["a note"]}
        assert browser.get("/static/notes/style.css").headers["content-type"] == "text/css"
        assert len(browser.get("/download?size=500000").content) == 500_000
        assert browser.post("/raw", content=b"x" * 300_000).json()["size"] == 300_000
        assert browser.get("/error").status_code == 500
    assert "lifespan" not in host.log().lower()


@pytest.mark.parametrize("runner", hosts.RUNNERS)
def test_async_views_of_flask(runner: str, start_host: StartHost) -> None:
    """W51 M32: async views run on the server's loop, the very first of them too."""
    host = start_host(hosts.bridge(*hosts.RUNNERS[runner], "tests.support.apps.flask_async:app"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: httpx.get(host.url("/async")).text, range(32)))
    assert set(answers) == {"1 MainThread here"}
    assert "Traceback" not in host.log()


def test_async_views_of_flask_inline(start_host: StartHost) -> None:
    """G5: where nothing can wait, async views run on a loop of their own, while the others wait."""
    host = start_host(hosts.bridge("--runner=inline", "tests.support.apps.flask_async:app"))
    for _ in range(2):
        assert httpx.get(host.url("/async")).text.endswith(" here")
        assert httpx.get(host.url("/plain")).text == "plain"


@pytest.mark.parametrize("runner", ["greenlet", "inline"])
def test_django_on_the_loop(runner: str, start_host: StartHost, tmp_path: Path) -> None:
    """G5: Django's ORM, which refuses to run inside a loop, works on the loop's own thread."""
    database = tmp_path / "db.sqlite3"
    hosts.migrate(database)
    command = hosts.bridge(
        f"--runner={runner}", "--app-dir=examples/django_on_bridge", "mysite.wsgi:application"
    )
    host = start_host(command.with_env(EXAMPLE_DATABASE=str(database)))
    with httpx.Client(base_url=host.url(""), follow_redirects=True, timeout=30) as browser:
        assert browser.get("/").status_code == 200
        form = {"text": "a note", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert "a note" in browser.post("/add", data=form).text
        assert browser.get("/notes.json").json() == {"notes": ["a note"]}
        assert browser.get("/error").status_code == 500
