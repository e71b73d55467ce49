"""Which consumer a request is for, in the app of a worker (L9, L13)."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import from_asgi1
from bridge.channels import MemoryLayer
from bridge.dispatcher import Dispatcher, Mount
from bridge.errors import UnsupportedScope
from bridge.gateway.back.mounted_consumers import consumer_at, find
from bridge.types import Receive, Scope, Send


def consumer(subprotocol: str) -> Any:
    """A consumer that can be told from others."""
    return from_asgi1(lambda message: None, layer=MemoryLayer(), subprotocols=[subprotocol])


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    """No consumer."""


def scope_of(path: str, host: str = "a.example") -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", host.encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("x", 80),
    }


def of_path(path: str) -> Any:
    return lambda request: request.path.endswith(path)


def broken(request: Any) -> bool:
    raise ValueError("the predicate is broken")


WHOLE, ONE, TWO, THREE, FOUR = (consumer(name) for name in ("w", "one", "two", "three", "four"))
APP = Dispatcher(
    {
        "/one": ONE,
        "/other": other,
        "/deep": Dispatcher({"/two": TWO, "/": other}),
        "/told": [Mount(THREE, when=of_path("/3")), Mount(FOUR, when=of_path("/4"))],
        "/stripped": Mount(consumer("s"), strip_prefix=True),
        "/broken": Mount(ONE, when=broken),
        "b.example/one": FOUR,
    }
)


@pytest.mark.parametrize(
    ("app", "scope", "consumer", "mount", "root_path"),
    [
        (WHOLE, scope_of("/any"), WHOLE, "", ""),
        (APP, scope_of("/one/a"), ONE, "/one", "/one"),
        (APP, scope_of("/deep/two/a"), TWO, "/deep > /two", "/deep/two"),
        (APP, scope_of("/told/3"), THREE, "/told 0", "/told"),
        (APP, scope_of("/told/4"), FOUR, "/told 1", "/told"),
        (APP, scope_of("/one", "b.example"), FOUR, "b.example/one", "/one"),
    ],
)
def test_the_consumer_of_a_request(
    app: Any, scope: Scope, consumer: Any, mount: str, root_path: str
) -> None:
    """L9: any worker finds it by its mount; the gateway is told its place."""
    found = find(app, scope)
    assert found is not None
    assert found.app is consumer
    told = found.told()
    assert (told["mount"], told["root_path"], told["path"]) == (mount, root_path, scope["path"])
    assert told["subprotocols"] == consumer.told()["subprotocols"]
    assert consumer_at(app, mount) is consumer


@pytest.mark.parametrize(
    ("app", "path"),
    [
        *((other, "/"), (APP, "/other"), (APP, "/nothing"), (APP, "/deep/x")),
        *((APP, "/told/5"), (APP, "/stripped/a"), (APP, "/broken/a")),
    ],
)
def test_a_request_for_another_app(app: Any, path: str) -> None:
    """L9: it is run as any app is."""
    assert find(app, scope_of(path)) is None


@pytest.mark.parametrize(
    ("app", "mount", "said"),
    [
        (other, "", "this worker runs no ASGI 1 consumer$"),
        (APP, "", "this worker runs no ASGI 1 consumer$"),
        (APP, "/gone", "this worker runs no ASGI 1 consumer at /gone"),
        (APP, "/other", "this worker runs no ASGI 1 consumer at /other"),
        (other, "/one", "this worker runs no ASGI 1 consumer at /one"),
    ],
)
def test_a_mount_that_this_worker_does_not_have(app: Any, mount: str, said: str) -> None:
    """L13: as in the middle of a deploy that changes the mounts."""
    with pytest.raises(UnsupportedScope, match=said):
        consumer_at(app, mount)
