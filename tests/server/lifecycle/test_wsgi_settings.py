"""How WSGI apps run: the server's settings hold wherever the app says nothing itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import bridge
from bridge import AsgiToWsgi, Dispatcher, Mount, WsgiToAsgi
from bridge.errors import ConfigError
from bridge.server.config.config import Config
from bridge.server.config.sources import from_python, make_config
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.raw import Client
from tests.support.serving import served
from tests.support.waiting import eventually
from tests.support.websocket import handshake


def tells(environ: Any, start_response: Any) -> list[bytes]:
    """Whether several threads run it, and whether a thread of the pool runs it now."""
    if socket := environ.get("werkzeug.socket"):
        socket.close()
        return []
    start_response("200 OK", [("Content-Type", "text/plain")])
    pooled = threading.current_thread().name.startswith("bridge-")
    return [f"multithread={environ['wsgi.multithread']} pooled={pooled}".encode()]


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def middleware(app: Any) -> Any:
    async def around(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return around


#: Every way in which the server can be given a WSGI app that says nothing itself.
WAYS: dict[str, Callable[[], Any]] = {
    "itself": lambda: tells,
    "WsgiToAsgi": lambda: WsgiToAsgi(tells),
    "AsgiToWsgi of WsgiToAsgi": lambda: AsgiToWsgi(WsgiToAsgi(tells)),
    "Dispatcher": lambda: Dispatcher({"/": tells}),
    "Dispatcher of WsgiToAsgi": lambda: Dispatcher({"/": WsgiToAsgi(tells)}),
    "Dispatcher of a Mount": lambda: Dispatcher({"/": Mount(tells, "wsgi")}),
    "nested": lambda: Dispatcher({"/": Dispatcher({"/": tells})}),
    "fallback": lambda: Dispatcher(fallback=[nothing, tells]),
}

ONE_THREAD = "multithread=False pooled=True"
POOL = "multithread=True pooled=True"
GREENLET = "multithread=True pooled=False"
LOOP = "multithread=False pooled=False"


@pytest.mark.parametrize("way", WAYS)
def test_settings_hold_where_the_app_says_nothing(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S60: threads, runner and websocket count, however the app is wrapped or mounted."""
    for settings, expected in (
        ({}, POOL),
        ({"threads": 1}, ONE_THREAD),
        ({"runner": "greenlet"}, GREENLET),
        ({"runner": "inline"}, LOOP),
    ):
        with served(WAYS[way](), **settings) as server:
            assert httpx.get(server.url("/", "http")).text == expected, settings
    with served(WAYS[way](), websocket=True) as server, server.connect() as client:
        assert client.open_handshake().status != 403
    with served(WAYS[way]()) as server, server.connect() as client:
        assert client.open_handshake().status == 403
    assert "changes nothing" not in caplog.text
    assert "was said in Python" not in caplog.text


#: The same if the app does say something: a single thread.
KEEPING: dict[str, tuple[Callable[[], Any], str]] = {
    "WsgiToAsgi": (lambda: WsgiToAsgi(tells, threads=1), "the app"),
    "Dispatcher": (lambda: Dispatcher({"/": tells}, threads=1), "app mounted at /"),
    "Mount": (
        lambda: Dispatcher({"/": Mount(tells, settings={"threads": 1})}),
        "app mounted at /",
    ),
    "fallback": (
        lambda: Dispatcher(fallback=[nothing, tells], threads=1),
        "a fallback of app mounted at /",
    ),
}


@pytest.mark.parametrize("way", KEEPING)
def test_what_the_app_says_stays_and_the_start_tells_it(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S60: one line names the app, what it says, and what does not change it."""
    make, where = KEEPING[way]
    with served(make(), threads=5) as server:
        assert httpx.get(server.url("/", "http")).text == ONE_THREAD
    (line,) = [each for each in caplog.messages if "was said" in each]
    assert line == f"{where}: threads=1 was said in Python, and is not changed by threads (5)"
    caplog.clear()
    with served(make(), threads=1), served(make()):
        assert "was said in Python" not in caplog.text


def test_two_servers_share_an_app_that_runs_the_same_way() -> None:
    """S60: the second neither takes the first's threads away, nor leaves some behind."""
    app = WsgiToAsgi(tells)
    with served(app, threads=2) as first:
        runner = app.runner
        with served(app, threads=2) as second:
            assert app.runner is runner
            for server in (first, second):
                assert httpx.get(server.url("/", "http")).text == POOL


def test_apps_that_keep_the_same_share_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """S60: a dispatcher of many apps does not fill the log."""
    app = Dispatcher({"/": tells, "/a": tells, "/b": Mount(tells, settings={"threads": 2})})
    with served(Dispatcher({"/x": app, "/": WsgiToAsgi(tells, threads=2)}), threads=5):
        pass
    (line,) = [each for each in caplog.messages if "was said" in each]
    assert line.startswith("app mounted at /b, app mounted at /: threads=2 was said")


@pytest.mark.parametrize("app", [middleware(WsgiToAsgi(tells)), nothing], ids=["around", "asgi"])
def test_what_cannot_hold_is_told(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """S60: the server cannot see into a middleware; the line says where it is said instead."""
    with served(app, threads=1, websocket=True):
        pass
    (line,) = [each for each in caplog.messages if "changes nothing" in each]
    assert line.startswith("threads and websocket changes nothing: no WSGI app here is run by")
    assert "WsgiToAsgi(app, threads=1, websocket=True)" in line
    caplog.clear()
    with served(app):
        assert caplog.messages == [] or "changes nothing" not in caplog.text


@pytest.mark.parametrize(
    ("app", "settings", "advice"),
    [
        (lambda: tells, {}, "--websocket, or WsgiToAsgi(app, websocket=True) gives "),
        (lambda: Dispatcher({"/": tells}), {}, "--websocket, or WsgiToAsgi(app, "),
        (
            lambda: WsgiToAsgi(tells, websocket=False),
            {"websocket": True},
            "WsgiToAsgi(app, websocket=True) gives them",
        ),
        (
            lambda: middleware(WsgiToAsgi(tells)),
            {"websocket": True},
            "WsgiToAsgi(app, websocket=True) gives them",
        ),
    ],
)
def test_a_refusal_does_not_advise_what_was_done(
    app: Callable[[], Any], settings: dict[str, Any], advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    """S60: the line of a refused WebSocket names what helps here."""
    with served(app(), **settings) as server, server.connect() as client:
        client.send(handshake("/"))
        assert client.response().status == 403
        eventually(lambda: "refused a WebSocket" in caplog.text)
    (line,) = [each for each in caplog.messages if each.startswith("refused a WebSocket")]
    assert advice in line
    assert "--websocket" not in line or not settings


# ------------------------------------------------------------- by every source


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    (tmp_path / "site_app.py").write_text(
        "from bridge import Dispatcher\n"
        "from tests.server.lifecycle.test_wsgi_settings import tells\n"
        "app = Dispatcher({'/': tells})\n"
        "busy = Dispatcher({'/': tells}, threads=3)\n"
    )
    (tmp_path / "one.toml").write_text("threads = 1\n")
    return tmp_path


@pytest.mark.parametrize("source", ["option", "variable", "file"])
def test_every_source_holds(source: str, app_dir: Path, start_host: StartHost) -> None:
    """S60: the command line, the environment and a file, for a dispatcher too."""
    more = {"option": ["--threads=1"], "variable": [], "file": ["-c", str(app_dir / "one.toml")]}
    command = hosts.bridge("site_app:app", f"--app-dir={app_dir}", *more[source])
    if source == "variable":
        command = command.with_env(BRIDGE_THREADS="1")
    host = start_host(command)
    assert httpx.get(host.url("/")).text == ONE_THREAD


@pytest.mark.parametrize("source", ["option", "variable", "file"])
def test_the_source_is_named_in_a_conflict(
    source: str, app_dir: Path, start_host: StartHost
) -> None:
    """S60: also if its value is the default: that it was said is known."""
    (app_dir / "one.toml").write_text("threads = 8\n")
    names = {
        "option": (["--threads=8"], "--threads (8)"),
        "variable": ([], "BRIDGE_THREADS (8)"),
        "file": (["-c", str(app_dir / "one.toml")], f"threads in {app_dir / 'one.toml'} (8)"),
    }
    more, name = names[source]
    command = hosts.bridge("site_app:busy", f"--app-dir={app_dir}", *more)
    if source == "variable":
        command = command.with_env(BRIDGE_THREADS="8")
    host = start_host(command)
    eventually(lambda: "running on" in host.log())
    before = host.log().partition("running on")[0]
    assert f"threads=3 was said in Python, and is not changed by {name}" in before
    with Client(host.connect()) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response().status == 200


def test_settings_hold_under_gunicorn(app_dir: Path, start_host: StartHost) -> None:
    """S60, S64: Gunicorn's `--threads` and ours too; Kubernetes' variables stop no worker."""
    more = {"PYTHONPATH": f"{app_dir}:{hosts.ROOT}", "BRIDGE_PORT": "tcp://10.0.0.1:80"}
    command = hosts.gunicorn("site_app:app", worker=hosts.BRIDGE_WORKER).with_env(**more)
    host = start_host(command.with_env(BRIDGE_THREADS="1"))
    assert httpx.get(host.url("/")).text == ONE_THREAD
    assert "ignored: BRIDGE_PORT, set by Kubernetes" in host.log()
    busy = hosts.gunicorn("site_app:busy", "--threads=5", worker=hosts.BRIDGE_WORKER)
    host = start_host(busy.with_env(**more))
    assert httpx.get(host.url("/")).text == POOL
    assert (
        "threads=3 was said in Python, and is not changed by Gunicorn's threads (5)" in host.log()
    )


def test_what_was_given_is_known() -> None:
    """S60: by the label of its source; from Python by its value."""
    config = make_config({"port": ("3", "--port")}, {"BRIDGE_THREADS": "8"}, None)
    assert config.source("port") == "--port"
    assert config.source("threads") == "BRIDGE_THREADS"
    assert config.source("host") is None
    assert Config(threads=4).source("threads") == "threads"
    assert from_python(tells, {"threads": 8}).source("threads") == "serve(threads=...)"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threds": 4}, "serve() has no setting threds; did you mean threads?"),
        ({"zzz": 4}, "serve() has no setting zzz; asgi-bridge serve --help lists them all"),
        ({"threads": 0}, "threads is 0; allowed is a whole number, at least 1"),
    ],
)
def test_serve_has_the_words_of_the_command_line(settings: dict[str, Any], words: str) -> None:
    """S61: a wrong name or value in Python is told as everywhere."""
    with pytest.raises(ConfigError) as caught:
        bridge.serve(tells, **settings)
    assert words in str(caught.value)


async def _serve() -> None:
    bridge.serve(tells)


def test_serve_in_a_running_loop_says_what_to_do() -> None:
    """S61: and leaves no coroutine that was never awaited."""
    import asyncio

    with pytest.raises(ConfigError, match=r"await Server\(Config\(app=app\)\)\.serve\(\)"):
        asyncio.run(_serve())
