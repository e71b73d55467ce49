"""A real browser uses the examples that push: the chat, and the stream of events."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.channels import get_channel_layer
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.browser import CHROMIUM, Page, browse
from tests.support.hosts import Command, Host
from tests.support.redis import needs_redis, redis, redis_url
from tests.support.serving import served
from tests.support.waiting import eventually

with_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's package chromium")

#: How each example is served: our server, the Gunicorn worker, and another's server.
CHAT = {
    "bridge": hosts.bridge("--app-dir=examples", "asgi1_chat:consumer"),
    "gunicorn": hosts.gunicorn(
        "asgi1_chat:consumer", "--chdir=examples", worker=hosts.BRIDGE_WORKER
    ),
    "uvicorn": hosts.uvicorn("asgi1_chat:app", "--app-dir=examples"),
}
EVENTS = {
    "bridge": hosts.bridge("--app-dir=examples", "event_stream:app"),
    "gunicorn": hosts.gunicorn("event_stream:app", "--chdir=examples", worker=hosts.BRIDGE_WORKER),
    "uvicorn": hosts.uvicorn("event_stream:app", "--app-dir=examples"),
}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser for the tests of this module."""
    with browse() as page:
        yield page


@pytest.fixture(params=CHAT)
def chat(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """The chat on each kind of server."""
    command: Command = CHAT[request.param]
    return shared_host(command)


@pytest.fixture(params=EVENTS)
def events(request: pytest.FixtureRequest, shared_host: StartHost) -> Host:
    """The stream of events on each kind of server."""
    command: Command = EVENTS[request.param]
    return shared_host(command)


# ------------------------------------------------------------- the chat


def open_chat(page: Page, chat: Host) -> None:
    page.open(chat.url("/"))
    page.wait_for("state.textContent === 'connected'")
    page.wait_for("heard.textContent.includes('Somebody has come in.')")


def say(page: Page, name: str, text: str) -> None:
    page.evaluate(f"say.name.value = {json.dumps(name)}; say.text.value = {json.dumps(text)}; 1")
    page.evaluate("say.querySelector('button').click()")


def hear(page: Page, text: str) -> None:
    page.wait_for(f"[...heard.children].some(line => line.textContent === {json.dumps(text)})")


@with_browser
def test_two_pages_talk_to_each_other(page: Page, chat: Host) -> None:
    """L4 L6: what one says both hear; one that comes, reloads or leaves is told of."""
    open_chat(page, chat)
    with page.another() as other:
        open_chat(other, chat)
        say(page, "Ann", "Grüße, <b>Bob</b>")
        say(other, "Bob", "hello")
        for each in (page, other):
            hear(each, "Ann: Grüße, <b>Bob</b>")
            hear(each, "Bob: hello")
        open_chat(other, chat)  # it loads its page anew
        hear(page, "Somebody has left.")
        say(page, "Ann", "again")
        hear(other, "Ann: again")
        assert page.evaluate("heard.textContent.match(/has left/g).length") == 1
    page.wait_for("heard.textContent.match(/has left/g).length === 2")


@with_browser
def test_a_page_connects_again_when_the_server_is_back(page: Page) -> None:
    """L4: the server closes with 1012; the page tries until a server is there."""
    with served("asgi1_chat:consumer", app_dir="examples") as chat:
        page.open(chat.url("/", "http"))
        page.wait_for("state.textContent === 'connected'")
        page.evaluate("socket.addEventListener('close', event => window.code = event.code)")
    assert page.wait_for("window.code") == 1012
    page.wait_for("state.textContent === 'connecting again'")
    with served("asgi1_chat:consumer", app_dir="examples", port=chat.port):
        page.wait_for("state.textContent === 'connected'")
        page.open("about:blank#away")


@with_browser
def test_a_page_of_another_site_is_refused(page: Page, chat: Host) -> None:
    """L4: the consumer looks at the field Origin, which the browser sets."""
    page.open(f"http://localhost:{chat.port}/")
    url = json.dumps(chat.url("/talk", "ws"))
    result = f"""new Promise(told => {{
        const socket = new WebSocket({url});
        socket.onopen = () => told('open');
        socket.onclose = event => told(event.code);
    }})"""
    assert page.evaluate(result) == 1006


# ------------------------------------------------------------- two processes, over Redis


@pytest.fixture(scope="module")
def channels() -> Iterator[str]:
    """The address of a Redis for this module."""
    with hosts.start(redis()) as server:
        yield redis_url(server)


@with_browser
@needs_redis
def test_pages_of_two_processes_talk_to_each_other(
    page: Page, shared_host: StartHost, channels: str
) -> None:
    """L4 L8: the group is in Redis; each process holds its own sockets."""
    first, second = (
        shared_host(replace(CHAT[name].with_env(CHANNELS=channels), name=f"{name} over Redis"))
        for name in ("bridge", "gunicorn")
    )
    open_chat(page, first)
    with page.another() as other:
        open_chat(other, second)
        say(page, "Ann", "hello")
        say(other, "Bob", "Grüße")
        for each in (page, other):
            hear(each, "Ann: hello")
            hear(each, "Bob: Grüße")
    hear(page, "Somebody has left.")


@needs_redis
def test_news_of_another_process(shared_host: StartHost, channels: str) -> None:
    """L3 L4 L8: a view in one process publishes to the streams of another, in order."""
    holds, publishes = (
        shared_host(replace(EVENTS[name].with_env(CHANNELS=channels), name=f"{name} over Redis"))
        for name in ("bridge", "uvicorn")
    )
    with httpx.stream("GET", holds.url("/events"), trust_env=False, timeout=20) as stream:
        lines = stream.iter_lines()
        assert [next(lines), next(lines)] == ["retry: 1000", ""]
        for number in range(20):
            httpx.post(publishes.url("/publish"), data={"text": str(number)}).raise_for_status()
        for number in range(20):
            assert json.loads(next(lines).removeprefix("data: "))["text"] == str(number)
            assert next(lines) == ""


# ------------------------------------------------------------- a gateway and workers


@contextmanager
def worker(target: str, channels: str, log: Path) -> Iterator[None]:
    """A worker that takes requests, for as long as the block lasts; it writes to `log`."""
    argv = [sys.executable, "-m", "bridge", "worker", target, "--app-dir=examples"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*argv, f"--channels={channels}"], cwd=hosts.ROOT, stdout=output, stderr=output
        )
        try:
            eventually(lambda: "taking requests" in log.read_text())
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0, log.read_text()


@with_browser
@needs_redis
def test_the_chat_over_a_gateway_and_workers(
    page: Page, start_host: StartHost, tmp_path: Path
) -> None:
    """L4 L9: two pages talk by whichever worker is there; the workers are replaced meanwhile."""
    channels = redis_url(start_host(redis()))
    gateway = start_host(
        hosts.python(
            *("bridge", "-m", "bridge", "gateway", f"--channels={channels}"),
            *(f"--host={hosts.ADDRESS}", "--port={port}"),
            "--timeout-queue=5",  # so long its end waits, if no worker is left to be told of it
        )
    )
    first, *others = (
        worker("asgi1_chat:consumer", channels, tmp_path / f"worker-{number}.log")
        for number in range(3)
    )
    with ExitStack() as running, first, page.another() as other:
        for each in others:
            running.enter_context(each)
        open_chat(page, gateway)
        open_chat(other, gateway)
        for number in range(10):
            say(page, "Ann", f"one {number}")
            say(other, "Bob", f"two {number}")
        for tab in (page, other):
            for number in range(10):
                hear(tab, f"Ann: one {number}")
                hear(tab, f"Bob: two {number}")
            tab.evaluate("window.before = socket; 1")
        running.close()  # two of the three workers go
        say(page, "Ann", "still there?")
        hear(other, "Ann: still there?")
        assert all(tab.evaluate("socket === window.before") for tab in (page, other))
        heard = page.evaluate("[...heard.children].map(line => line.textContent)")
        ours = [line for line in heard if line.startswith("Ann: one")]
        assert ours == [f"Ann: one {number}" for number in range(10)]


# ------------------------------------------------------------- the stream of events


def test_events_over_a_socket(events: Host) -> None:
    """L3 L4 L6: each stream gets what a plain view publishes; the view waits for none."""
    with (
        httpx.Client(base_url=events.url(""), trust_env=False, timeout=20) as client,
        client.stream("GET", "/events") as first,
        client.stream("GET", "/events") as second,
    ):
        streams = [first.iter_lines(), second.iter_lines()]
        for stream in streams:
            assert next(stream) == "retry: 1000"
            assert next(stream) == ""
        for text in ("one", "Grüße\n\ndata: no"):
            assert httpx.post(events.url("/publish"), data={"text": text}).status_code == 204
            for stream in streams:
                name, _, data = next(stream).partition(": ")
                assert (name, json.loads(data)["text"], next(stream)) == ("data", text, "")
        assert first.headers["content-type"] == "text/event-stream"


@with_browser
def test_a_browser_gets_what_a_view_publishes(page: Page, events: Host) -> None:
    """L3 L4 L6: an EventSource hears at once, and again after it was cut off."""
    page.open(events.url("/"))
    page.wait_for("state.textContent === 'listening'")
    with page.another() as other:
        other.open(events.url("/"))
        other.wait_for("state.textContent === 'listening'")
        page.evaluate("publish.text.value = 'from a page'")
        page.evaluate("publish.querySelector('button').click()")
        for each in (page, other):
            each.wait_for("news.textContent.includes('from a page')")
    httpx.post(events.url("/publish"), data={"text": "from elsewhere"})
    page.wait_for("news.textContent.includes('from elsewhere')")


@with_browser
def test_an_event_source_comes_back(page: Page) -> None:
    """L3 L4: the server stops, though a stream is open, and the browser asks the next one."""
    settings = {"app_dir": "examples", "timeout_graceful_shutdown": 0.5}
    with served("event_stream:app", **settings) as events:
        page.open(events.url("/", "http"))
        page.wait_for("state.textContent === 'listening'")
    page.wait_for("state.textContent === 'connecting again'")
    with served("event_stream:app", port=events.port, **settings):
        page.wait_for("state.textContent === 'listening'")
        httpx.post(events.url("/publish", "http"), data={"text": "back"})
        page.wait_for("news.textContent.includes('back')")
        page.open("about:blank#away")


# ------------------------------------------------------------- what the documentation shows


def shown(page: str, number: int = 0, name: str = "app") -> Any:
    """What a piece of Python on a page of the documentation calls `name`."""
    text = (hosts.ROOT / "docs" / "howto" / page).read_text()
    code = text.split("```python\n")[1 + number].partition("```")[0]
    names: dict[str, Any] = {"__name__": "shown"}
    exec(code, names)
    return names[name]


def test_the_stream_of_the_documentation() -> None:
    """L3 L4 L6: the code on the page works as it stands."""
    with served(shown("push-to-browsers.md")) as server:
        with httpx.stream("GET", server.url("/events", "http"), timeout=20) as stream:
            eventually(lambda: [*get_channel_layer().group_channels("news")])
            httpx.post(server.url("/publish", "http"), data={"text": "new"}).raise_for_status()
            assert next(stream.iter_lines()) == "data: new"
        eventually(lambda: not [*get_channel_layer().group_channels("news")])


def test_the_socket_of_the_documentation() -> None:
    """L4 L6: two clients hear each other; a request without a WebSocket gets a 404."""
    with served(shown("push-to-browsers.md", 1, "consumer")) as server:
        with server.open() as one, server.open() as other:
            eventually(lambda: len([*get_channel_layer().group_channels("room")]) == 2)
            one.text("hello")
            assert one.read_text() == other.read_text() == "hello"
        assert httpx.get(server.url("/", "http")).status_code == 404
        eventually(lambda: not [*get_channel_layer().group_channels("room")])


@pytest.mark.parametrize(
    ("number", "name", "said"),
    [
        (0, "consumer", "Hello from /world\n"),
        *((1, f"shape_{shape}", "/world") for shape in "abc"),
    ],
)
def test_the_consumers_of_the_documentation(number: int, name: str, said: str) -> None:
    """L2: so do the shapes of consumers."""
    with served(shown("serve-an-asgi-1-app.md", number, name)) as server:
        assert httpx.get(server.url("/world", "http"), timeout=20).text == said


def test_the_body_of_the_documentation() -> None:
    """L5: and so does that on this page."""
    with served(shown("read-a-body-in-pieces.md")) as server:
        answer = httpx.post(server.url("/", "http"), content=b"x" * 1_000_000)
        assert answer.text == hashlib.sha256(b"x" * 1_000_000).hexdigest()


# ------------------------------------------------------------- the upload


@with_browser
def test_a_browser_uploads_in_pieces(page: Page, shared_host: StartHost, tmp_path: Path) -> None:
    """L5: 30 MB are hashed while they come, and the page shows how far they are."""
    host = shared_host(hosts.bridge("--app-dir=examples", "upload_in_pieces:app"))
    content = b"0123456789abcdef" * 2_000_000
    file = tmp_path / "large.bin"
    file.write_bytes(content)
    page.open(host.url("/"))
    page.choose_file("#file", file)
    told = json.loads(page.wait_for("told.textContent"))
    assert (told["size"], told["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert told["pieces"] > 100
    assert page.evaluate("progress.value") == 1
    cut = host.connect()
    cut.sendall(b"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
    cut.close()
    eventually(lambda: "the client left after 4 bytes" in host.log())
