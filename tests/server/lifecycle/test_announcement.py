"""What the log says at the start: the app, its kind, its mounts, and where settings came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bridge import (
    AsgiToWsgi,
    Cutover,
    Dispatcher,
    Mount,
    Route,
    WsgiToAsgi,
    from_asgi1,
    from_asgi2,
)
from bridge.cutover.shadow.recorder import Recorder
from bridge.runners import InlineRunner
from bridge.runners.patching.patch import is_patched
from bridge.server.config.config import Config
from bridge.server.lifecycle.announcement import about_workers, announcement
from bridge.server.lifecycle.wsgi_settings import apply_wsgi_settings
from tests.conftest import StartHost
from tests.support import hosts
from tests.support.apps.hello import asgi, wsgi
from tests.support.waiting import eventually

HELLO = "tests.support.apps.hello"
#: Another test of this process may have patched.
GREENLETS = "greenlets, patched" if is_patched() else "greenlets"


def asgi2(scope: Any) -> Any: ...
def consumer(message: Any) -> None: ...


class Site:
    def __call__(self, environ: Any, start_response: Any) -> Any: ...


class OwnRunner(InlineRunner):
    """Not one of ours."""


def said(app: Any, /, **settings: Any) -> list[str]:
    config = Config(**settings)
    apply_wsgi_settings(config, app)
    return list(announcement(config, app))


@pytest.mark.parametrize(
    ("app", "settings", "line"),
    [
        (asgi, {}, f"serving {HELLO}.asgi (ASGI)"),
        (asgi, {"app": "new:app"}, "serving new:app (ASGI)"),
        (from_asgi2(asgi2), {}, f"serving {__name__}.asgi2 (ASGI 2)"),
        (from_asgi1(consumer), {}, f"serving {__name__}.consumer (ASGI 1, 8 threads)"),
        (WsgiToAsgi(wsgi), {}, f"serving {HELLO}.wsgi (WSGI, 8 threads)"),
        (WsgiToAsgi(wsgi), {"threads": 1}, f"serving {HELLO}.wsgi (WSGI, 1 thread)"),
        (WsgiToAsgi(Site()), {"runner": "inline"}, f"serving {__name__}.Site (WSGI, inline)"),
        (
            WsgiToAsgi(wsgi),
            {"runner": "greenlet", "websocket": True},
            f"serving {HELLO}.wsgi (WSGI, {GREENLETS}, WebSockets)",
        ),
    ],
)
def test_one_app(app: Any, settings: dict[str, Any], line: str) -> None:
    """S51: its name, its kind, and how it runs."""
    assert said(app, **settings) == [line]


def test_mounts() -> None:
    """S51: each mount has a line; nested ones stand at their whole place."""
    inner = Dispatcher({"/old": wsgi, "/new": asgi})
    app = Dispatcher(
        {
            "/": [Mount(wsgi, when=bool), Mount(asgi)],
            "/shop": Mount(inner, keep_prefix=False),
            "x.test/": Mount(wsgi, settings={"threads": 2}),
        }
    )
    assert said(app, app="shop:app") == [
        "serving shop:app:",
        f"  /          {HELLO}.wsgi (WSGI, 8 threads), if its when() says so",
        f"  /          {HELLO}.asgi (ASGI)",
        f"  /shop/old  {HELLO}.wsgi (WSGI, 8 threads)",
        f"  /shop/new  {HELLO}.asgi (ASGI)",
        f"  x.test/    {HELLO}.wsgi (WSGI, 2 threads)",
    ]


def test_a_fallback() -> None:
    """S51: the apps in the order in which they are asked."""
    app = Dispatcher(fallback=[asgi, wsgi])
    assert said(app, app="shop:app")[1] == (
        f"  /  {HELLO}.asgi (ASGI), then {HELLO}.wsgi (WSGI, 8 threads)"
    )
    nested = Dispatcher(fallback=[Dispatcher({"/a": asgi}), AsgiToWsgi(asgi)])
    assert (
        said(nested)[1] == f"  /  bridge.dispatcher.Dispatcher (mounts), then {HELLO}.asgi (ASGI)"
    )


def test_many_mounts_are_not_all_listed() -> None:
    """S51: the start stays readable."""
    lines = said(Dispatcher({f"/{number}": asgi for number in range(100)}))
    assert len(lines) == 22
    assert lines[-1] == "  and 80 more"


@pytest.mark.parametrize(
    ("number", "settings", "line"),
    [
        (
            2,
            {},
            "2 workers, each a process, watched by this one; asgi-bridge ctl shows what they do",
        ),
        (1, {"control_socket": "off"}, "1 worker, a process of its own, watched by this one"),
    ],
)
def test_several_processes(number: int, settings: dict[str, Any], line: str) -> None:
    """S51: a supervisor says how many workers there are, and how to look at them."""
    assert about_workers(Config(**settings), number) == line


def test_a_runner_of_somebody_else() -> None:
    """S51: it is called by its class."""

    class Other:
        pass

    app = WsgiToAsgi(wsgi, runner=OwnRunner())
    assert said(app) == [f"serving {HELLO}.wsgi (WSGI, inline)"]


def test_the_start_tells_the_app_and_where_settings_came_from(
    start_host: StartHost, tmp_path: Path
) -> None:
    """S51: variables and files, which nobody sees in the command; no values, and so no secrets."""
    file = tmp_path / "bridge.toml"
    file.write_text("backlog = 100\nserver-header = false\n")
    mounts = (f"--mount=/={HELLO}:wsgi", f"--mount=/api={HELLO}:asgi", "-c", str(file))
    host = start_host(hosts.bridge(*mounts).with_env(BRIDGE_THREADS="4", FORWARDED_ALLOW_IPS="::1"))
    eventually(lambda: "Press CTRL+C" in host.log())
    lines = [line.partition("INFO: ")[2] for line in host.log().splitlines()]
    assert lines[:4] == [
        "serving mounts:",
        f"  /     {HELLO}:wsgi (WSGI, 4 threads)",
        f"  /api  {HELLO}:asgi (ASGI)",
        "settings from the environment: BRIDGE_THREADS, FORWARDED_ALLOW_IPS; "
        f"from {file}: backlog, server-header",
    ]
    assert lines[4].startswith("asgi-bridge running on http://127.0.0.1:")


@pytest.mark.parametrize(
    ("route", "settings", "hints"),
    [
        ({"mode": "canary", "share": 5}, {}, 1),
        ({"gate": {"window": "60s"}}, {}, 1),
        ({"mode": "canary", "share": 5}, {"timeout_request": 30}, 0),
        ({"mode": "new"}, {}, 0),
    ],
)
def test_a_canary_that_may_hang(
    route: dict[str, Any], settings: dict[str, Any], hints: int
) -> None:
    """M21: its users would wait for ever, and that is told once, at the start."""
    cutover = Cutover(wsgi, asgi, routes=[Route("a", "/a", **route)])
    config = Config(app="m:app", **settings)
    assert sum("timeout_request" in line for line in announcement(config, cutover)) == hints


def test_an_app_that_is_recorded(tmp_path: Path) -> None:
    """S51, M13: its own kind, and what is recorded of it."""
    recorder = Recorder(wsgi, tmp_path / "file")
    recorder.announced_as = "m:app, recorded"
    assert said(recorder) == ["serving m:app, recorded (WSGI, 8 threads)"]
