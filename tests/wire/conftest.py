"""A server with the app that shows the rules of HTTP, and a client of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import StartHost
from tests.support.hosts import Host, bridge
from tests.support.raw import Client

APP = "tests.support.apps.http_rules:app"


@pytest.fixture
def host(shared_host: StartHost) -> Host:
    return shared_host(bridge(APP, "--no-access-log", "--log-level=debug", "--pathsend"))


@pytest.fixture
def client(host: Host) -> Iterator[Client]:
    with Client(host.connect()) as client:
        yield client
