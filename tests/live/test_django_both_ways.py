"""A whole Django project as one app, over the wire: on our server, and on another one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import StartHost
from tests.support import hosts
from tests.support.hosts import Command, Host
from tests.support.waiting import eventually

APP = "tests.support.apps.both_ways.asgi:application"
HOSTS: dict[str, Command] = {
    "thread": hosts.bridge("--runner=thread", APP),
    "greenlet": hosts.bridge("--runner=greenlet", APP),
    "uvicorn": hosts.uvicorn(APP),
}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """A server of the project."""
    return shared_host(HOSTS[request.param])


@pytest.fixture
def client(host: Host) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=host.url(""), timeout=60) as made:
        yield made


def seen(client: httpx.Client, *paths: str) -> list[tuple[str, str]]:
    """The view, and the class of request that it got."""
    answers = [client.get(each).raise_for_status().json() for each in paths]
    return [(each["view"], each["request"]) for each in answers]


SYNC, ASYNC = ("sync", "WSGIRequest"), ("async", "ASGIRequest")


def test_each_view_by_its_handler(client: httpx.Client) -> None:
    """M30: functions, classes, includes, converters, expressions, languages, in Django's order."""
    assert seen(client, "/sync", "/items/mine", "/in/a/sync/1") == [SYNC] * 3
    paths = ("/async", "/decorated", "/items/other", "/in/a/async/1", "/old/2024/")
    assert seen(client, *paths) == [ASYNC] * 5
    assert seen(client, "/class/sync", "/class/async") == [
        ("sync class", "WSGIRequest"),
        ("async class", "ASGIRequest"),
    ]
    assert seen(client, "/anywhere/end", "/greet/", "/de/greet/", "/de/Sonntag") == [ASYNC] * 4
    assert client.get("/async").json()["on_main_thread"]


def test_what_django_answers_itself(client: httpx.Client) -> None:
    """M30: pages that are not found, slashes that are missing, errors of both kinds of views."""
    assert client.get("/nowhere").status_code == 404
    assert client.get("/slash").headers["location"] == "/slash/"
    for kind in ("sync", "async"):
        answer = client.get(f"/fail/{kind}")
        assert (answer.status_code, "Server Error (500)" in answer.text) == (500, True)


def test_bodies(client: httpx.Client) -> None:
    """M30: bodies of any size reach both kinds of views, and stream back."""
    body = bytes(range(256)) * 1000
    told = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert client.post("/upload", content=body).json() == told
    assert client.post("/upload/async", content=body).json() == {"size": len(body)}
    assert client.get("/stream/async").text == "0\n1\n2\n"
    assert len(client.get("/stream?pieces=20").content) == 20 * 65536


def test_websockets(host: Host) -> None:
    """M30: Channels' routing takes WebSockets; a path without a route opens none."""
    with connect(host.url("/shout", "ws"), proxy=None) as socket:
        socket.send("grüße")
        assert socket.recv(timeout=20) == "GRÜSSE"
    with pytest.raises(InvalidStatus):
        connect(host.url("/nowhere", "ws"), proxy=None)


def ask_at_once(host: Host, path: str, count: int) -> list[Any]:
    """The answers to so many requests at the same time."""

    async def asked() -> list[Any]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(base_url=host.url(""), limits=limits, timeout=90) as client:
            answers = await asyncio.gather(*(client.get(path) for _ in range(count)))
        return [each.raise_for_status().json() for each in answers]

    return asyncio.run(asked())


def test_async_views_wait_side_by_side(host: Host) -> None:
    """M30: 100 of them wait at once; a slow call of one stops no other; few threads stay."""
    assert len(ask_at_once(host, "/together/100", 100)) == 100
    assert len(ask_at_once(host, "/block", 2)) == 2  # each waits for the other, in a thread
    told = httpx.get(host.url("/threads")).json()
    assert len(told["names"]) == 1
    assert told["alive"] < 30


def test_clients_that_leave(host: Host) -> None:
    """M30: an async view whose client has left is cancelled, as Django has it."""
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(host.url("/wait/100"), timeout=0.5)
    eventually(lambda: "/wait/100" in httpx.get(host.url("/cancelled")).json()["cancelled"])


def peak(host: Host) -> int:
    """The most memory that it ever had, in kB."""
    status = Path(f"/proc/{host.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("host", ["thread", "uvicorn"], indirect=True)
def test_large_bodies_stream(host: Host, client: httpx.Client) -> None:
    """M30: what synchronous views read and send does not grow in memory."""
    client.post("/upload", content=b"x" * 1_000_000).raise_for_status()
    before = peak(host)
    body = (b"x" * 65536 for _ in range(1500))
    told = client.post("/upload", content=body, headers={"Content-Length": str(1500 * 65536)})
    assert told.json()["size"] == 1500 * 65536
    with client.stream("GET", "/stream?pieces=1500") as answer:
        assert sum(len(piece) for piece in answer.iter_bytes()) == 1500 * 65536
    assert peak(host) - before < 40_000


def test_what_the_log_says(start_host: StartHost) -> None:
    """M30: what is served, in workers too; middleware that costs a thread; WebSockets; errors."""
    name = "tests.support.apps.both_ways.middleware.sync_only"
    command = hosts.bridge("--threads=5", "--workers=2", APP)
    host = start_host(command.with_env(MORE_MIDDLEWARE=name, DEBUG="1"))
    line = f"serving {APP} (Django both ways, 5 threads, WebSockets)"
    eventually(lambda: line in host.log())
    eventually(lambda: f"this middleware is synchronous: {name}\n" in host.log())
    for path in ("/sync", "/async"):
        assert httpx.get(host.url(path)).headers["x-marked"] == "yes"
    for kind in ("sync", "async"):
        assert "Exception Value" in httpx.get(host.url(f"/fail/{kind}")).text
    assert host.stop() == 0


def test_the_example(start_host: StartHost, tmp_path: Path) -> None:
    """M30: a project with forms, sessions, the ORM and static files, unchanged."""
    database = tmp_path / "db.sqlite3"
    hosts.migrate(database)
    command = hosts.bridge("--app-dir=examples/django_on_bridge", "mysite.both_ways")
    host = start_host(command.with_env(EXAMPLE_DATABASE=str(database)))
    with httpx.Client(base_url=host.url(""), follow_redirects=True, timeout=30) as browser:
        assert browser.get("/").status_code == 200
        form = {"text": "a note", "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert "a note" in browser.post("/add", data=form).text
        assert browser.get("/count").json() == {"count": 1, "request": "ASGIRequest"}
        assert browser.get("/static/notes/style.css").headers["content-type"] == "text/css"
        assert "Log in" in browser.get("/admin/").text
