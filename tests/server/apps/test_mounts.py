"""The names of mounts in figures (O2)."""

from __future__ import annotations

from typing import Any

from bridge import Dispatcher, WsgiToAsgi
from bridge.dispatcher import Mount
from bridge.server.apps.mounts import mount_for, mounted_runners


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """No app is called here."""


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    raise AssertionError


def test_the_mount_of_a_path() -> None:
    """O2: host and prefix, below each other; no predicate is asked."""
    inner = Dispatcher({"/deep": asgi, "/": asgi})
    app = Dispatcher({"/": asgi, "/in": inner, "api.example/v1": asgi})
    hosts = {"": "x", "api": "api.example"}
    for host, path, mount in (
        ("", "/", "/"),
        ("", "/x", "/"),
        ("", "/in/deep/er", "/in/deep"),
        ("", "/in/x", "/in"),
        ("api", "/v1/x", "api.example/v1"),
    ):
        assert mount_for(app, path, hosts[host]) == mount
    assert mount_for(Dispatcher({"/a": asgi}), "/b", "") == "none"
    assert mount_for(asgi, "/b", "") == "/"
    chosen = Dispatcher({"/": [Mount(asgi, when=lambda request: 1 / 0 > 0), asgi]})
    assert mount_for(chosen, "/b", "") == "/"


def test_runners() -> None:
    """O2: each runner once, at its first mount; also behind a fallback."""
    one, two = WsgiToAsgi(wsgi), WsgiToAsgi(wsgi)
    app = Dispatcher({"/a": one, "/b": one}, fallback=[two, asgi])
    assert dict(mounted_runners(app)) == {"/a": one.runner, "/": two.runner}
    assert [*mounted_runners(one)] == [("/", one.runner)]
    assert [*mounted_runners(asgi)] == []
