"""The ways in which a WSGI app is served; every test of this directory runs over them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from tests.conftest import StartHost
from tests.support import hosts, raw
from tests.support.hosts import Command, Host

APPS = "tests.support.apps.wsgi_rules"

#: Way -> how the adapter called ``{name}`` in the app's module is served.
WAYS: dict[str, Callable[[str], Command]] = {
    "native": lambda name: hosts.bridge(f"{APPS}:{name}"),
    "bridge-asgi": lambda name: hosts.bridge(
        f"{APPS}:opaque_{name}", "--interface", "asgi3", "--lifespan", "on"
    ),
    "uvicorn": lambda name: hosts.uvicorn(f"{APPS}:{name}"),
}
RUNNERS: dict[str, Callable[[], Command]] = {
    "native-greenlet": lambda: hosts.bridge(f"{APPS}:greenlet"),
    "native-inline": lambda: hosts.bridge(f"{APPS}:inline"),
    "uvicorn-greenlet": lambda: hosts.uvicorn(f"{APPS}:greenlet"),
    "uvicorn-inline": lambda: hosts.uvicorn(f"{APPS}:inline"),
}

Ask: TypeAlias = Callable[..., raw.Response]


@pytest.fixture(params=[*WAYS, *RUNNERS])
def way(request: pytest.FixtureRequest) -> str:
    """The name of the way."""
    name: str = request.param
    return name


@pytest.fixture
def command(way: str) -> Command:
    """How the app is served with its usual settings."""
    return RUNNERS[way]() if way in RUNNERS else WAYS[way]("asgi")


@pytest.fixture
def host(command: Command, shared_host: StartHost) -> Host:
    """The app with its usual settings, shared by all tests."""
    return shared_host(command)


@pytest.fixture(params=[*WAYS])
def thread_way(request: pytest.FixtureRequest) -> str:
    """A way with threads."""
    name: str = request.param
    return name


@pytest.fixture
def thread_host(thread_way: str, shared_host: StartHost) -> Host:
    """The app in threads, shared by all tests."""
    return shared_host(WAYS[thread_way]("asgi"))


# ------------------------------------------------------------- talking


@pytest.fixture
def client(host: Host) -> Iterator[raw.Client]:
    """One connection."""
    with raw.Client(host.connect()) as client:
        yield client


@pytest.fixture
def name() -> str:
    """A name under which the app notes what happens in this test."""
    return uuid.uuid4().hex


def noted(host: Host, name: str = "") -> dict[str, Any]:
    """What the app has noted under `name`, and its pool's figures."""
    with raw.Client(host.connect()) as client:
        answer: dict[str, Any] = json.loads(client.get(f"/told?{name}").body)
        return answer


def eventually(condition: Callable[[], Any], within: float = 10) -> Any:
    """What `condition` gives, once it is true; asked again and again."""
    deadline = time.monotonic() + within
    while not (result := condition()):
        assert time.monotonic() < deadline, "it never became true"
        time.sleep(0.01)
    return result


def happened(host: Host, name: str, what: str) -> list[str]:
    """Everything noted under `name`, once `what` is among it."""
    events: list[str] = []

    def seen() -> bool:
        events[:] = noted(host, name)["events"]
        return what in events

    eventually(seen)
    return events
